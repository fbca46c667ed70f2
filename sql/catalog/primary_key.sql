-- The columns of the primary key of table $1.$2, in the key's order.
select a.attname::text
from pg_constraint c
join pg_class r on r.oid = c.conrelid
join pg_namespace n on n.oid = r.relnamespace
cross join lateral unnest(c.conkey) with ordinality as k (attnum, place)
join pg_attribute a on a.attrelid = r.oid and a.attnum = k.attnum
where n.nspname = $1 and r.relname = $2 and c.contype = 'p'
order by k.place
