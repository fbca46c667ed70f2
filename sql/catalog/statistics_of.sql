-- The extended statistics in these schemas ($1) of these relations ($2, oids): they have a schema of their own.
select 'pg_statistic_ext'::regclass::bigint as class, s.oid::bigint as oid, n.nspname::text as schema_name
from pg_statistic_ext s join pg_namespace n on n.oid = s.stxnamespace
where n.nspname = any ($1) and s.stxrelid = any ($2::bigint[]::oid[])
order by 2
