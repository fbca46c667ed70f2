-- What a schema-only archive of a live source does not say: the materialized views that hold rows, and the sequences there are.
select c.relkind = 'S' as is_sequence, n.nspname::text as schema_name, c.relname::text as name
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
where (c.relkind = 'm' and c.relispopulated or c.relkind = 'S')
  and n.nspname not in ('information_schema', 'nightferry') and n.nspname !~ '^pg_'
  and (c.relkind <> 'S' or has_sequence_privilege(c.oid, 'SELECT'))
  and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
order by 1, 2, 3
