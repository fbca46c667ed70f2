-- The statements, in an order in which they work, that give schema $2 and what is in it the owners, rights, default privileges,
-- comments and security labels that schema $1 and its objects of the same kind and name have. Rights become the same; a comment
-- or label is given only where there is none. Nothing for what is in one of the two only, or belongs to an extension.
-- Where the asking role cannot make the old owner the new one, the statement that tries is given all the same, for the report,
-- and the old owner keeps its rights as grants. Run with an empty search_path.
with space as (
    select o.oid as old, n.oid as new, quote_ident(n.nspname) as name, o.nspowner as old_owner, n.nspowner as new_owner, o.nspacl as old_acl, n.nspacl as new_acl
    from pg_namespace o cross join pg_namespace n where o.nspname = $1 and n.nspname = $2
), relation as materialized (
    select c.oid, c.relname, c.relnamespace, c.relowner, c.relacl, c.relkind,
           case c.relkind when 'v' then 'VIEW' when 'm' then 'MATERIALIZED VIEW' when 'S' then 'SEQUENCE' when 'f' then 'FOREIGN TABLE'
                          when 'c' then 'TYPE' else 'TABLE' end as kind
    from pg_class c join space s on c.relnamespace in (s.old, s.new) where c.relkind in ('r', 'p', 'v', 'm', 'S', 'f', 'c')
), type as (
    select t.oid, t.typname, t.typnamespace, t.typowner, t.typacl
    from pg_type t
    join space s on t.typnamespace in (s.old, s.new)
    left join pg_class c on c.oid = t.typrelid
    where c.relkind = 'c' or t.typtype in ('b', 'd', 'e', 'r') and not exists (select from pg_type e where e.typarray = t.oid)
), argument as (
    -- A type of either schema is one and the same; an array is told by its elements.
    select p.oid, array_agg(format('%s %s%s', case when t.typnamespace not in (s.old, s.new) then t.typnamespace end, t.typname,
                                   case when e.oid is not null then '[]' end) order by a.number) as types
    from space s
    join pg_proc p on p.pronamespace in (s.old, s.new)
    cross join lateral unnest(p.proargtypes) with ordinality a (oid, number)
    left join pg_type e on e.typarray = a.oid
    join pg_type t on t.oid = coalesce(e.oid, a.oid)
    group by p.oid
), routine as materialized (
    select p.oid, p.proname, p.pronamespace, p.proowner, p.proacl, p.prokind, coalesce(a.types, '{}') as arguments
    from space s join pg_proc p on p.pronamespace in (s.old, s.new) left join argument a on a.oid = p.oid
), pair as materialized (
    select 'pg_namespace'::regclass::oid as class, s.old, s.new, 'SCHEMA' as kind, s.name, s.old_owner, s.new_owner, 'n'::"char" as acl_type, s.old_acl, s.new_acl
    from space s
    union all
    select 'pg_class'::regclass, o.oid, n.oid, n.kind, format('%s.%I', s.name, n.relname), o.relowner, n.relowner,
           case n.kind when 'SEQUENCE' then 's' else 'r' end::"char", o.relacl, n.relacl
    from space s join relation o on o.relnamespace = s.old join relation n on n.relnamespace = s.new and (n.kind, n.relname) = (o.kind, o.relname)
    where n.kind <> 'TYPE'
    union all
    select 'pg_proc'::regclass, o.oid, n.oid, 'ROUTINE', n.oid::regprocedure::text, o.proowner, n.proowner, 'f', o.proacl, n.proacl
    from space s join routine o on o.pronamespace = s.old
    join routine n on n.pronamespace = s.new and (n.proname, n.prokind, n.arguments) = (o.proname, o.prokind, o.arguments)
    union all
    select 'pg_type'::regclass, o.oid, n.oid, 'TYPE', format('%s.%I', s.name, n.typname), o.typowner, n.typowner, 'T', o.typacl, n.typacl
    from space s join type o on o.typnamespace = s.old join type n on n.typnamespace = s.new and n.typname = o.typname
), own as materialized (
    select p.*, case when pg_has_role(p.old_owner, 'MEMBER') then p.old_owner else p.new_owner end as final_owner from pair p
    where not exists (select from pg_depend d where d.classid = p.class and d.objid in (p.old, p.new) and d.deptype = 'e')
), part as materialized (
    -- The objects, and the columns of the relations among them; old_part and new_part are 0 or the number of a column.
    select o.*, 0 as old_part, 0 as new_part, null::name as attname, format('%s %s', kind, name) as label, kind as of_kind from own o
    union all
    select 'pg_class'::regclass, a.attrelid, b.attrelid, 'COLUMN', format('%s.%I', s.name, n.relname), o.relowner, n.relowner, 'c', a.attacl, b.attacl,
           case when pg_has_role(o.relowner, 'MEMBER') then o.relowner else n.relowner end,
           a.attnum, b.attnum, b.attname, format('COLUMN %s.%I.%I', s.name, n.relname, b.attname), n.kind
    from space s
    join relation o on o.relnamespace = s.old
    join relation n on n.relnamespace = s.new and (n.kind, n.relname) = (o.kind, o.relname)
    join pg_attribute a on a.attrelid = o.oid and a.attnum > 0 and not a.attisdropped
    join pg_attribute b on b.attrelid = n.oid and b.attname = a.attname and b.attnum > 0 and not b.attisdropped
    where o.kind <> 'SEQUENCE'
      and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid in (o.oid, n.oid) and d.deptype = 'e')
), belonging (class, oid, schema, kind, of, name) as materialized (
    -- What belongs to a relation, and is told by the relation's name and its own: only comments are said of it.
    select 'pg_class'::regclass::oid, i.oid, r.relnamespace, 'INDEX', r.relname, i.relname from relation r join pg_index x on x.indrelid = r.oid join pg_class i on i.oid = x.indexrelid
    union all
    select 'pg_constraint'::regclass, k.oid, r.relnamespace, 'CONSTRAINT', r.relname, k.conname from relation r join pg_constraint k on k.conrelid = r.oid
    union all
    select 'pg_trigger'::regclass, t.oid, r.relnamespace, 'TRIGGER', r.relname, t.tgname from relation r join pg_trigger t on t.tgrelid = r.oid and not t.tgisinternal
    union all
    select 'pg_rewrite'::regclass, w.oid, r.relnamespace, 'RULE', r.relname, w.rulename from relation r join pg_rewrite w on w.ev_class = r.oid
    union all
    select 'pg_policy'::regclass, p.oid, r.relnamespace, 'POLICY', r.relname, p.polname from relation r join pg_policy p on p.polrelid = r.oid
    union all
    select 'pg_statistic_ext'::regclass, x.oid, r.relnamespace, 'STATISTICS', r.relname, x.stxname from relation r join pg_statistic_ext x on x.stxrelid = r.oid and x.stxnamespace = r.relnamespace
), differing as (
    select * from part where old_owner <> new_owner and (old_acl is not null or new_acl is not null or final_owner <> old_owner) or old_acl is distinct from new_acl
), has as (
    select p.class, p.new, p.new_part, a.grantee, a.privilege_type, bool_or(a.is_grantable) as is_grantable
    from differing p cross join lateral aclexplode(coalesce(p.old_acl, acldefault(p.acl_type, p.old_owner))) a
    where p.final_owner = p.old_owner or a.grantee <> p.final_owner
    group by 1, 2, 3, 4, 5
), given as (
    -- As it will be when the owner has changed: the new owner takes over the rights of the one before.
    select p.class, p.new, p.new_part, case when a.grantee = p.new_owner then p.final_owner else a.grantee end as grantee, a.privilege_type,
           bool_or(a.is_grantable) as is_grantable
    from differing p cross join lateral aclexplode(coalesce(p.new_acl, acldefault(p.acl_type, p.new_owner))) a
    where p.final_owner = p.old_owner or a.grantee <> p.new_owner
    group by 1, 2, 3, 4, 5
), change as materialized (
    select class, new, new_part, grantee, privilege_type,
           case when h.is_grantable is null then 'REVOKE' when g.is_grantable and not h.is_grantable then 'REVOKE GRANT OPTION FOR' end as revoke,
           case when h.is_grantable is not null and (g.is_grantable is null or h.is_grantable and not g.is_grantable) then 'GRANT' end as grant, h.is_grantable
    from has h full join given g using (class, new, new_part, grantee, privilege_type)
    where h.is_grantable is distinct from g.is_grantable
), again as (
    -- A right taken from a table is taken from its columns too, so that what they have must be given again.
    select h.class, h.new, h.new_part, h.grantee, h.privilege_type, null::text as revoke, 'GRANT' as grant, h.is_grantable
    from (
        select p.class, p.new, p.new_part, a.grantee, a.privilege_type, bool_or(a.is_grantable) as is_grantable
        from part p cross join lateral aclexplode(p.old_acl) a where p.kind = 'COLUMN' group by 1, 2, 3, 4, 5
    ) h
    where exists (
        select from change c
        where c.revoke is not null and (c.class, c.new, c.new_part, c.grantee, c.privilege_type) = (h.class, h.new, 0, h.grantee, h.privilege_type))
), acl_statement as (
    select p.of_kind, p.name, c.revoke is null as is_grant,
           format('%s %s ON %s %s %s %s%s', coalesce(c.revoke, c.grant),
                  string_agg(distinct c.privilege_type || coalesce(' (' || quote_ident(p.attname) || ')', ''), ', '),
                  case when p.acl_type in ('r', 'c') then 'TABLE' else p.of_kind end, p.name, case when c.revoke is null then 'TO' else 'FROM' end,
                  case when c.grantee = 0 then 'PUBLIC' else quote_ident(pg_get_userbyid(c.grantee)) end,
                  case when c.revoke is null and c.is_grantable then ' WITH GRANT OPTION' end) as statement
    from (select * from change union select * from again) c
    join part p using (class, new, new_part)
    group by p.of_kind, p.name, case when p.acl_type in ('r', 'c') then 'TABLE' else p.of_kind end, c.revoke, c.grant, c.grantee, c.is_grantable
), default_acl as (
    select d.defaclrole, d.defaclobjtype, a.grantee, a.privilege_type, bool_or(a.is_grantable) filter (where d.defaclnamespace = s.old) as old,
           bool_or(a.is_grantable) filter (where d.defaclnamespace = s.new) as new
    from space s join pg_default_acl d on d.defaclnamespace in (s.old, s.new) cross join lateral aclexplode(d.defaclacl) a
    group by 1, 2, 3, 4
), found (rank, kind, label, statement) as (
    select case when kind = 'SCHEMA' then 1 else 5 end, kind, label, format('ALTER %s OWNER TO %I', label, pg_get_userbyid(old_owner))
    from own o cross join lateral (select format('%s %s', kind, name) as label) l
    where old_owner <> new_owner
      -- A sequence that belongs to a column goes with its table.
      and not (kind = 'SEQUENCE' and exists (
          select from pg_depend d where (d.classid, d.objid, d.refclassid) = (o.class, o.new, o.class) and d.refobjsubid > 0 and d.deptype in ('a', 'i')))
    union all
    select case when of_kind = 'SCHEMA' then 2 else 6 end + is_grant::int, of_kind, format('%s %s', of_kind, name), statement from acl_statement
    union all
    select 4, 'SCHEMA', format('SCHEMA %s', s.name),
           format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA %s %s %s ON %s %s %s%s', pg_get_userbyid(d.defaclrole), s.name, x.verb, string_agg(d.privilege_type, ', '),
                  case d.defaclobjtype when 'r' then 'TABLES' when 'S' then 'SEQUENCES' when 'f' then 'FUNCTIONS' when 'T' then 'TYPES' end,
                  case x.verb when 'GRANT' then 'TO' else 'FROM' end, case when d.grantee = 0 then 'PUBLIC' else quote_ident(pg_get_userbyid(d.grantee)) end,
                  case when x.verb = 'GRANT' and d.old then ' WITH GRANT OPTION' end)
    from default_acl d
    cross join space s
    cross join lateral (
        select case when d.old is null then 'REVOKE' when d.new and not d.old then 'REVOKE GRANT OPTION FOR' else 'GRANT' end as verb) x
    where d.old is distinct from d.new
    group by s.name, d.defaclrole, d.defaclobjtype, d.grantee, x.verb, d.old
    union all
    select 8, p.kind, p.label, format('COMMENT ON %s IS %L', p.label, o.description)
    from part p
    join pg_description o on (o.classoid, o.objoid, o.objsubid) = (p.class, p.old, p.old_part)
    left join pg_description n on (n.classoid, n.objoid, n.objsubid) = (p.class, p.new, p.new_part)
    where n.objoid is null
    union all
    select 8, n.kind, l.label, format('COMMENT ON %s IS %L', l.label, d.description)
    from space s
    join belonging o on o.schema = s.old
    join belonging n on n.schema = s.new and (n.kind, n.of, n.name) = (o.kind, o.of, o.name)
    join pg_description d on (d.classoid, d.objoid) = (o.class, o.oid)
    cross join lateral (
        select format(case when n.kind in ('INDEX', 'STATISTICS') then '%1$s %2$s.%3$I' else '%1$s %3$I ON %2$s.%4$I' end, n.kind, s.name, n.name, n.of) as label) l
    where not exists (select from pg_description e where (e.classoid, e.objoid) = (n.class, n.oid))
    union all
    select 9, p.kind, p.label, format('SECURITY LABEL FOR %I ON %s IS %L', o.provider, p.label, o.label)
    from part p
    join pg_seclabel o on (o.classoid, o.objoid, o.objsubid) = (p.class, p.old, p.old_part)
    left join pg_seclabel n on (n.classoid, n.objoid, n.objsubid, n.provider) = (p.class, p.new, p.new_part, o.provider)
    where n.objoid is null
)
select lower(kind) || substr(label, length(kind) + 1) as object, statement from found order by rank, label, statement
