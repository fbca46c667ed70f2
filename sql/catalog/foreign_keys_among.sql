-- Which of these tables ($1, oids) refer to which of them by a foreign key, checked or not.
select distinct conrelid::bigint as "from", confrelid::bigint as "to"
from pg_constraint
where contype = 'f' and conrelid = any ($1::bigint[]::oid[]) and confrelid = any ($1::bigint[]::oid[])
