-- How to make views, materialized views and functions ($1 class oids, $2 oids) again with all that was said of them. Run with
-- an empty search_path, so that every name is qualified. Everything is done while the object still belongs to the role that
-- asks: it may then do all of it, even where it is only a member of the old owner. The change of owner comes next, and turns
-- the asking role's own rights into the old owner's; last come the grants to the asking role, which would merge with those.
with asking as (
    select oid, rolsuper from pg_roles where rolname = current_user
), wanted as (
    select class::oid as class, oid::oid as oid from unnest($1::bigint[], $2::bigint[]) as o (class, oid)
), thing as materialized (
    select w.class, w.oid, c.relkind, c.relam, c.reltablespace, c.reltoastrelid, c.reloptions, c.relispopulated, p.prokind,
           -- The catalogs do not say who owns what belongs to the first superuser.
           coalesce(c.relowner, p.proowner, (
               select s.refobjid from pg_shdepend s
               where s.dbid = (select oid from pg_database where datname = current_database())
                 and (s.classid, s.objid, s.objsubid, s.deptype) = (w.class, w.oid, 0, 'o')), 10) as owner,
           case when c.oid is not null then 'r' else 'f' end::"char" as acl_type, coalesce(c.relacl, p.proacl) as acl,
           coalesce(c.relnamespace, p.pronamespace) as schema,
           case when p.oid is not null then 'ROUTINE' when c.relkind = 'v' then 'VIEW' when c.relkind = 'm' then 'MATERIALIZED VIEW' end as kind,
           case when c.oid is not null then format('%I.%I', n.nspname, c.relname) else p.oid::regprocedure::text end as name
    from wanted w
    left join pg_class c on w.class = 'pg_class'::regclass and c.oid = w.oid
    left join pg_proc p on w.class = 'pg_proc'::regclass and p.oid = w.oid
    left join pg_namespace n on n.oid = c.relnamespace
), option_list as (
    -- In the order in which they were given, which the catalogs keep.
    select o.oid, format(' WITH (%s)', string_agg(format('%s%I = %L', o.prefix, o.name, o.value), ', ' order by o.prefix, o.number)) as text
    from (
        select t.oid, '' as prefix, o.* from thing t cross join lateral pg_options_to_table(t.reloptions) with ordinality o (name, value, number)
        union all
        select t.oid, 'toast.', o.*
        from thing t join pg_class c on c.oid = t.reltoastrelid and t.relkind = 'm'
        cross join lateral pg_options_to_table(c.reloptions) with ordinality o (name, value, number)
    ) o
    group by o.oid
), granted as (
    -- What each role has: the owner's own rights are the asking role's until the owner changes.
    select t.class, t.oid, case when a.grantee = t.owner then s.oid else a.grantee end as grantee,
           a.grantee = s.oid and t.owner <> s.oid as is_late, a.privilege_type, bool_or(a.is_grantable) as is_grantable
    from thing t cross join asking s cross join lateral aclexplode(coalesce(t.acl, acldefault(t.acl_type, t.owner))) a
    where t.kind is not null
    group by 1, 2, 3, 4, 5
), given as (
    -- What each role will have as soon as the asking role has made the object, its default privileges included.
    select t.class, t.oid, a.grantee, a.privilege_type, bool_or(a.is_grantable) as is_grantable
    from thing t
    cross join asking s
    left join pg_default_acl g on (g.defaclrole, g.defaclnamespace, g.defaclobjtype) = (s.oid, 0, t.acl_type)
    left join pg_default_acl l on (l.defaclrole, l.defaclnamespace, l.defaclobjtype) = (s.oid, t.schema, t.acl_type)
    cross join lateral aclexplode(coalesce(g.defaclacl, acldefault(t.acl_type, s.oid)) || coalesce(l.defaclacl, '{}')) a
    where t.kind is not null
    group by 1, 2, 3, 4
), grants as (
    select t.class, t.oid, h.is_late, h.grantee is null or g.is_grantable and not h.is_grantable as is_revoke,
           case
               when h.grantee is null then format('REVOKE %s ON %s FROM %s', g.privilege_type, x.target, x.role)
               when g.is_grantable and not h.is_grantable then format('REVOKE GRANT OPTION FOR %s ON %s FROM %s', g.privilege_type, x.target, x.role)
               else format('GRANT %s ON %s TO %s%s', h.privilege_type, x.target, x.role, case when h.is_grantable then ' WITH GRANT OPTION' else '' end)
           end as statement
    from (select * from granted where not is_late) h
    full join given g using (class, oid, grantee, privilege_type)
    join thing t using (class, oid)
    cross join lateral (
        select case when t.kind = 'ROUTINE' then 'ROUTINE ' else '' end || t.name as target,
               case when coalesce(h.grantee, g.grantee) = 0 then 'PUBLIC' else quote_ident(pg_get_userbyid(coalesce(h.grantee, g.grantee))) end as role
    ) x
    where (h.is_grantable is distinct from g.is_grantable)
), part as (
    -- What is said of an object, and of each part of it: (catalog, oid, sub id) and how COMMENT and SECURITY LABEL name it.
    select class, oid, class as of_class, oid as of_oid, 0 as of_part, format('%s %s', kind, name) as name from thing where kind is not null
    union all
    select t.class, t.oid, t.class, t.oid, a.attnum, format('COLUMN %s.%I', t.name, a.attname)
    from thing t join pg_attribute a on a.attrelid = t.oid and a.attnum > 0 and t.relkind in ('v', 'm')
    union all
    select t.class, t.oid, 'pg_class'::regclass, i.oid, 0, format('INDEX %I.%I', n.nspname, i.relname)
    from thing t join pg_index x on x.indrelid = t.oid and t.relkind = 'm' join pg_class i on i.oid = x.indexrelid join pg_namespace n on n.oid = i.relnamespace
    union all
    select t.class, t.oid, 'pg_statistic_ext'::regclass, s.oid, 0, format('STATISTICS %I.%I', n.nspname, s.stxname)
    from thing t join pg_statistic_ext s on s.stxrelid = t.oid and t.relkind = 'm' join pg_namespace n on n.oid = s.stxnamespace
    union all
    select t.class, t.oid, 'pg_rewrite'::regclass, r.oid, 0, format('RULE %I ON %s', r.rulename, t.name)
    from thing t join pg_rewrite r on r.ev_class = t.oid and t.relkind = 'v' and r.rulename <> '_RETURN'
    union all
    select t.class, t.oid, 'pg_trigger'::regclass, g.oid, 0, format('TRIGGER %I ON %s', g.tgname, t.name)
    from thing t join pg_trigger g on g.tgrelid = t.oid and t.relkind = 'v' and not g.tgisinternal
), belonging (class, oid, rank, of_oid, number, statement) as (
    select t.class, t.oid, 1, a.attnum::oid, x.number, x.statement
    from thing t
    join pg_attribute a on a.attrelid = t.oid and a.attnum > 0 and t.relkind in ('v', 'm')
    join pg_type y on y.oid = a.atttypid
    left join pg_attrdef d on (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
    cross join lateral (select format('ALTER %s %s ALTER COLUMN %I', t.kind, t.name, a.attname) as alter) h
    cross join lateral unnest(array[
        h.alter || ' SET DEFAULT ' || pg_get_expr(d.adbin, d.adrelid),
        case when t.relkind = 'm' and a.attstattarget >= 0 then h.alter || ' SET STATISTICS ' || a.attstattarget end,
        case when t.relkind = 'm' and a.attstorage <> y.typstorage then h.alter || ' SET STORAGE '
             || case a.attstorage when 'p' then 'PLAIN' when 'e' then 'EXTERNAL' when 'x' then 'EXTENDED' else 'MAIN' end end,
        -- The column came with PostgreSQL 14.
        case t.relkind when 'm' then h.alter || ' SET COMPRESSION ' || case to_jsonb(a) ->> 'attcompression' when 'p' then 'pglz' when 'l' then 'lz4' end end,
        case t.relkind when 'm' then h.alter || ' SET (' || (
            select string_agg(format('%I = %L', o.option_name, o.option_value), ', ' order by o.option_name) from pg_options_to_table(a.attoptions) o) || ')' end
    ]) with ordinality as x (statement, number)
    union all
    select t.class, t.oid, 2, i.oid, y.number, y.statement
    from thing t
    join pg_index x on x.indrelid = t.oid and t.relkind = 'm'
    join pg_class i on i.oid = x.indexrelid
    join pg_namespace n on n.oid = i.relnamespace
    left join pg_tablespace s on s.oid = i.reltablespace
    cross join lateral unnest(array[
        pg_get_indexdef(i.oid),
        format('ALTER INDEX %I.%I SET TABLESPACE ', n.nspname, i.relname) || quote_ident(s.spcname),
        case when x.indisclustered then format('ALTER MATERIALIZED VIEW %s CLUSTER ON %I', t.name, i.relname) end
    ] || array(
        select format('ALTER INDEX %I.%I ALTER COLUMN %s SET STATISTICS %s', n.nspname, i.relname, a.attnum, a.attstattarget)
        from pg_attribute a where a.attrelid = i.oid and a.attstattarget >= 0 order by a.attnum)) with ordinality as y (statement, number)
    union all
    select t.class, t.oid, 3, s.oid, x.number, x.statement
    from thing t
    join pg_statistic_ext s on s.stxrelid = t.oid and t.relkind = 'm'
    join pg_namespace n on n.oid = s.stxnamespace
    cross join lateral unnest(array[
        pg_get_statisticsobjdef(s.oid),
        case when s.stxstattarget >= 0 then format('ALTER STATISTICS %I.%I SET STATISTICS %s', n.nspname, s.stxname, s.stxstattarget) end
    ]) with ordinality as x (statement, number)
    union all
    -- Rules and triggers of views cannot be switched off: ALTER TABLE refuses it for a view.
    select class, oid, 4, of_oid, 0, pg_get_ruledef(of_oid) from part where of_class = 'pg_rewrite'::regclass
    union all
    select class, oid, 5, of_oid, 0, pg_get_triggerdef(of_oid) from part where of_class = 'pg_trigger'::regclass
    union all
    select p.class, p.oid, 6, p.of_oid, 0, format('COMMENT ON %s IS %L', p.name, d.description)
    from part p join pg_description d on (d.classoid, d.objoid, d.objsubid) = (p.of_class, p.of_oid, p.of_part)
    union all
    select p.class, p.oid, 7, p.of_oid, 0, format('SECURITY LABEL FOR %I ON %s IS %L', l.provider, p.name, l.label)
    from part p join pg_seclabel l on (l.classoid, l.objoid, l.objsubid) = (p.of_class, p.of_oid, p.of_part)
    union all
    select class, oid, case when is_revoke then 8 else 9 end, 0, 0, statement from grants
    union all
    select t.class, t.oid, case when a.grantee = s.oid and t.owner <> s.oid then 13 else 10 end, 0, 0,
           format('GRANT %s (%I) ON %s TO %s%s', a.privilege_type, a.attname, t.name,
                  case when a.grantee = 0 then 'PUBLIC' when a.grantee = t.owner then quote_ident(current_user) else quote_ident(pg_get_userbyid(a.grantee)) end,
                  case when bool_or(a.is_grantable) then ' WITH GRANT OPTION' else '' end)
    from thing t
    cross join asking s
    cross join lateral (select c.attname, x.* from pg_attribute c cross join lateral aclexplode(c.attacl) x where c.attrelid = t.oid and not c.attisdropped) a
    where t.relkind in ('v', 'm')
    group by t.class, t.oid, t.name, t.owner, s.oid, a.attname, a.grantee, a.privilege_type
    union all
    select t.class, t.oid, 11, 0, 0, format('ALTER %s %s OWNER TO %I', t.kind, t.name, pg_get_userbyid(t.owner))
    from thing t cross join asking s where t.owner <> s.oid and t.kind is not null
    union all
    select p.class, p.oid, 12, x.oid, 0, format('ALTER %s OWNER TO %I', p.name, pg_get_userbyid(x.stxowner))
    from part p cross join asking s join pg_statistic_ext x on x.oid = p.of_oid and p.of_class = 'pg_statistic_ext'::regclass
    where x.stxowner <> s.oid
    union all
    select t.class, t.oid, 13, 0, 0, format('GRANT %s ON %s TO %I%s', h.privilege_type, case when t.kind = 'ROUTINE' then 'ROUTINE ' else '' end || t.name,
           current_user, case when h.is_grantable then ' WITH GRANT OPTION' else '' end)
    from granted h join thing t using (class, oid) where h.is_late
)
select t.class::bigint as class, t.oid::bigint as oid, pg_get_userbyid(t.owner)::text as owner,
       s.rolsuper or pg_has_role(t.owner, 'USAGE') and has_schema_privilege(coalesce(
           (select c.relnamespace from pg_class c where t.class = 'pg_class'::regclass and c.oid = t.oid),
           (select f.pronamespace from pg_proc f where t.class = 'pg_proc'::regclass and f.oid = t.oid)), 'CREATE') as may_move,
       case
           when t.relkind = 'v' then format('CREATE VIEW %s%s AS %s', t.name, o.text, pg_get_viewdef(t.oid))
           when t.relkind = 'm' then format('CREATE MATERIALIZED VIEW %s%s%s%s AS %s WITH NO DATA', t.name,
               ' USING ' || quote_ident(nullif(m.amname, current_setting('default_table_access_method'))), o.text,
               ' TABLESPACE ' || quote_ident(p.spcname), rtrim(pg_get_viewdef(t.oid), ';'))
           when t.prokind in ('f', 'p') then pg_get_functiondef(t.oid)
       end as definition,
       coalesce(t.relkind = 'm' and t.relispopulated, false) as is_populated,
       coalesce(b.statements, '{}') as statements
from thing t
cross join asking s
left join option_list o on o.oid = t.oid and t.class = 'pg_class'::regclass
left join pg_am m on m.oid = t.relam
left join pg_tablespace p on p.oid = t.reltablespace
left join (
    select class, oid, array_agg(statement order by rank, of_oid, number, statement collate "C") as statements
    from belonging where statement is not null group by class, oid
) b on (b.class, b.oid) = (t.class, t.oid)
