-- The bytes on disk, with indexes, of the tables and materialized views in these schemas ($1), and of those with these schemas ($2)
-- and names ($3).
select coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'm')
  and (n.nspname = any ($1) or (n.nspname, c.relname) in (select s, t from unnest($2::text[], $3::text[]) as o (s, t)))
