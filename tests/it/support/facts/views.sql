-- The queries of views and materialized views.
select n.nspname, format('%s.%s', n.nspname, c.relname), format('%s.%s', n.nspname, c.relname), pg_get_viewdef(c.oid)
  from pg_class c
  join pg_namespace n on n.oid = c.relnamespace
 where c.relkind in ('v', 'm')
   and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
