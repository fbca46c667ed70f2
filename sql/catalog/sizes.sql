-- Every ordinary table and materialized view with its estimated rows (null where never analyzed) and its size on disk, without
-- and with its indexes, largest first.
select n.nspname::text as schema_name, c.relname::text as table_name, case when c.reltuples >= 0 then c.reltuples::bigint end as rows_estimate,
       pg_table_size(c.oid)::bigint as bytes, pg_total_relation_size(c.oid)::bigint as total_bytes
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'm') and c.relpersistence <> 't' and n.nspname not in ('information_schema', 'nightferry') and n.nspname !~ '^pg_'
order by bytes desc, 1, 2
