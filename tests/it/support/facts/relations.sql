-- Tables, views, materialized views and sequences as such: kind, storage, settings, partition key and bound.
select n.nspname, format('%s.%s', n.nspname, c.relname), format('%s.%s', n.nspname, c.relname),
       concat_ws(', ', 'kind ' || c.relkind::text, 'persistence ' || c.relpersistence::text, a.amname, 'of ' || nullif(c.reloftype, 0)::regtype,
                 'options ' || c.reloptions::text, 'toast options ' || t.reloptions::text,
                 case when c.relrowsecurity then 'row security' end, case when c.relforcerowsecurity then 'forced' end,
                 case when c.relkind in ('r', 'p', 'm') then 'replica identity ' || c.relreplident::text end,
                 case when c.relkind = 'p' then pg_get_partkeydef(c.oid) end,
                 pg_get_expr(c.relpartbound, c.oid), case when not c.relispopulated then 'not populated' end)
  from pg_class c
  join pg_namespace n on n.oid = c.relnamespace
  left join pg_am a on a.oid = c.relam
  left join pg_class t on t.oid = c.reltoastrelid
 where c.relkind in ('r', 'p', 'v', 'm', 'S')
   and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
