-- The row policies of relations that are not among $1 (oids) whose expressions ask a relation that is, or its row type: how to
-- take them off and put them back. Run with an empty search_path.
select p.polrelid::bigint as relation, format('policy %I of %s', p.polname, t.name) as label, not p.polpermissive as is_restrictive,
       format('DROP POLICY %I ON %s', p.polname, t.name) as drop,
       format('CREATE POLICY %I ON %s AS %s FOR %s TO %s', p.polname, t.name, case when p.polpermissive then 'PERMISSIVE' else 'RESTRICTIVE' end,
              case p.polcmd when 'r' then 'SELECT' when 'a' then 'INSERT' when 'w' then 'UPDATE' when 'd' then 'DELETE' else 'ALL' end,
              (select string_agg(case when r = 0 then 'PUBLIC' else quote_ident(pg_get_userbyid(r)) end, ', ' order by pg_get_userbyid(r)) from unnest(p.polroles) r))
           || coalesce(' USING (' || pg_get_expr(p.polqual, p.polrelid) || ')', '')
           || coalesce(' WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')', '') as create,
       format('COMMENT ON POLICY %I ON %s IS ', p.polname, t.name) || quote_literal(d.description) as comment
from pg_policy p
join pg_class c on c.oid = p.polrelid
join pg_namespace n on n.oid = c.relnamespace
left join pg_description d on d.classoid = 'pg_policy'::regclass and d.objoid = p.oid
cross join lateral (select format('%I.%I', n.nspname, c.relname) as name) t
where p.polrelid <> all ($1::bigint[]::oid[])
  and exists (
      select from pg_depend e
      left join pg_type y on e.refclassid = 'pg_type'::regclass and y.oid = e.refobjid
      left join pg_type element on element.typarray = y.oid
      where e.classid = 'pg_policy'::regclass and e.objid = p.oid
        and case when e.refclassid = 'pg_class'::regclass then e.refobjid else coalesce(element.typrelid, y.typrelid) end = any ($1::bigint[]::oid[]))
order by t.name, p.polname
