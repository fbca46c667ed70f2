-- The statements that make views, materialized views and functions ($1 class oids, $2 oids) again, with their owner, grants,
-- comments and, for materialized views, indexes. Run with an empty search_path.
select o.class::bigint as class, o.oid::bigint as oid,
       case
           when c.relkind = 'v' then format('CREATE VIEW %I.%I%s AS %s', n.nspname, c.relname,
               case when c.reloptions is null then '' else ' WITH (' || array_to_string(c.reloptions, ', ') || ')' end, pg_get_viewdef(c.oid))
           when c.relkind = 'm' then format('CREATE MATERIALIZED VIEW %I.%I AS %s WITH NO DATA', n.nspname, c.relname, rtrim(pg_get_viewdef(c.oid), ';'))
           when p.prokind in ('f', 'p') then pg_get_functiondef(p.oid)
       end as definition,
       coalesce(c.relkind = 'm' and c.relispopulated, false) as is_populated,
       array_remove(array[
           case when c.oid is not null and c.relowner <> current_user::regrole
                then format('ALTER TABLE %I.%I OWNER TO %I', n.nspname, c.relname, pg_get_userbyid(c.relowner)) end,
           case when p.oid is not null and p.proowner <> current_user::regrole
                then format('ALTER ROUTINE %s OWNER TO %I', p.oid::regprocedure, pg_get_userbyid(p.proowner)) end,
           (select format('COMMENT ON %s %s IS %L', case c.relkind when 'v' then 'VIEW' else 'MATERIALIZED VIEW' end,
                          format('%I.%I', n.nspname, c.relname), d.description)
            from pg_description d where d.classoid = o.class and d.objoid = o.oid and d.objsubid = 0 and c.oid is not null)
       ] || array(
           select format('GRANT %s ON %s TO %s%s', a.privilege_type,
                         case when c.oid is not null then format('%I.%I', n.nspname, c.relname) else 'ROUTINE ' || p.oid::regprocedure end,
                         case when a.grantee = 0 then 'PUBLIC' else format('%I', pg_get_userbyid(a.grantee)) end,
                         case when a.is_grantable then ' WITH GRANT OPTION' else '' end)
           from aclexplode(coalesce(c.relacl, p.proacl)) a where a.grantee <> coalesce(c.relowner, p.proowner)
       ) || array(
           select pg_get_indexdef(x.indexrelid) from pg_index x where c.relkind = 'm' and x.indrelid = c.oid
       ), null) as statements
from unnest($1::bigint[], $2::bigint[]) as o (class, oid)
left join pg_class c on o.class::oid = 'pg_class'::regclass and c.oid = o.oid::oid
left join pg_proc p on o.class::oid = 'pg_proc'::regclass and p.oid = o.oid::oid
left join pg_namespace n on n.oid = coalesce(c.relnamespace, p.pronamespace)
