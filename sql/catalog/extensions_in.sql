-- The extensions that were made in these schemas ($1).
select 'pg_extension'::regclass::bigint as class, e.oid::bigint as oid, n.nspname::text as schema_name
from pg_extension e join pg_namespace n on n.oid = e.extnamespace where n.nspname = any ($1)
order by 2
