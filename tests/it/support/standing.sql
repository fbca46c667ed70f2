-- What is so of these schemas and of everything in them, one line each: who owns it, who may use it, what is said of it, how it
-- is defined. No oids, nothing that a new object of the same definition would not have too.
with wanted as (
    select n.* from pg_namespace n where n.nspname = any ($1)
), thing (class, oid, part, name, owner, acl_type, acl) as (
    select 'pg_namespace'::regclass::oid, oid, 0, format('schema %I', nspname), nspowner, 'n'::"char", nspacl from wanted
    union all
    select 'pg_class'::regclass, c.oid, 0, format('relation %I.%I', w.nspname, c.relname), c.relowner,
           case when c.relkind = 'S' then 's' when c.relkind in ('r', 'p', 'v', 'm', 'f') then 'r' end::"char", c.relacl
    from pg_class c join wanted w on w.oid = c.relnamespace where c.relkind <> 'c'
    union all
    select 'pg_class'::regclass, c.oid, a.attnum, format('column %I.%I.%I', w.nspname, c.relname, a.attname), c.relowner,
           case when c.relkind in ('r', 'p', 'v', 'm', 'f') then 'c' end::"char", a.attacl
    from pg_class c join wanted w on w.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    union all
    select 'pg_proc'::regclass, p.oid, 0, 'routine ' || p.oid::regprocedure, p.proowner, 'f', p.proacl from pg_proc p join wanted w on w.oid = p.pronamespace
    union all
    select 'pg_type'::regclass, t.oid, 0, format('type %I.%I', w.nspname, t.typname), t.typowner, 'T', t.typacl
    from pg_type t join wanted w on w.oid = t.typnamespace left join pg_class c on c.oid = t.typrelid
    where t.typtype in ('b', 'd', 'e', 'r') and t.typelem = 0 or c.relkind = 'c'
    union all
    select 'pg_constraint'::regclass, k.oid, 0, format('constraint %I on %s', k.conname, k.conrelid::regclass), null, null, null
    from pg_constraint k join wanted w on w.oid = k.connamespace where k.conrelid <> 0
    union all
    select 'pg_rewrite'::regclass, r.oid, 0, format('rule %I on %s', r.rulename, c.oid::regclass), null, null, null
    from pg_rewrite r join pg_class c on c.oid = r.ev_class join wanted w on w.oid = c.relnamespace
    union all
    select 'pg_trigger'::regclass, t.oid, 0, format('trigger %I on %s', t.tgname, c.oid::regclass), null, null, null
    from pg_trigger t join pg_class c on c.oid = t.tgrelid join wanted w on w.oid = c.relnamespace where not t.tgisinternal
    union all
    select 'pg_policy'::regclass, p.oid, 0, format('policy %I on %s', p.polname, c.oid::regclass), null, null, null
    from pg_policy p join pg_class c on c.oid = p.polrelid join wanted w on w.oid = c.relnamespace
    union all
    select 'pg_statistic_ext'::regclass, s.oid, 0, format('statistics %I.%I', w.nspname, s.stxname), s.stxowner, null, null
    from pg_statistic_ext s join wanted w on w.oid = s.stxnamespace
)
select format('%s belongs to %s', name, pg_get_userbyid(owner)) from thing where owner is not null and part = 0
union all
select format('%s: %s may %s%s', t.name, case when a.grantee = 0 then 'everyone' else pg_get_userbyid(a.grantee) end, a.privilege_type,
              case when bool_or(a.is_grantable) then ' and hand it on' end)
from thing t cross join lateral aclexplode(coalesce(t.acl, acldefault(t.acl_type, t.owner))) a group by t.name, a.grantee, a.privilege_type
union all
select format('%s is said to be %L', t.name, d.description)
from thing t join pg_description d on (d.classoid, d.objoid, d.objsubid) = (t.class, t.oid, t.part)
union all
select format('%s has the label %L of %s', t.name, l.label, l.provider)
from thing t join pg_seclabel l on (l.classoid, l.objoid, l.objsubid) = (t.class, t.oid, t.part)
union all
select format('schema %I: of new %s of %s, %s may %s%s', w.nspname, d.defaclobjtype, pg_get_userbyid(d.defaclrole),
              case when a.grantee = 0 then 'everyone' else pg_get_userbyid(a.grantee) end, a.privilege_type, case when a.is_grantable then ' and hand it on' end)
from pg_default_acl d join wanted w on w.oid = d.defaclnamespace cross join lateral aclexplode(d.defaclacl) a
union all
select concat_ws(', ', format('relation %I.%I is', w.nspname, c.relname), c.relkind, m.amname, s.spcname, 'with ' || array_to_string(c.reloptions, ' '),
                 'toast with ' || array_to_string(t.reloptions, ' '), case when not c.relispopulated then 'empty' end,
                 case when c.relrowsecurity then 'row security' end, case when c.relforcerowsecurity then 'forced' end,
                 case when c.relkind in ('v', 'm') then pg_get_viewdef(c.oid) end, case when x.indexrelid is not null then pg_get_indexdef(c.oid) end,
                 case when x.indisclustered then 'clustered' end)
from pg_class c
join wanted w on w.oid = c.relnamespace
left join pg_am m on m.oid = c.relam
left join pg_tablespace s on s.oid = c.reltablespace
left join pg_class t on t.oid = c.reltoastrelid
left join pg_index x on x.indexrelid = c.oid
union all
select concat_ws(', ', format('column %I.%I.%I is', w.nspname, c.relname, a.attname), format_type(a.atttypid, a.atttypmod), 'default ' || pg_get_expr(d.adbin, d.adrelid),
                 'storage ' || a.attstorage::text, 'statistics ' || a.attstattarget, array_to_string(a.attoptions, ' '), nullif(to_jsonb(a) ->> 'attcompression', ''))
from pg_class c
join wanted w on w.oid = c.relnamespace
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
left join pg_attrdef d on (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
union all
select format('%s is %s', t.name, pg_get_functiondef(p.oid)) from thing t join pg_proc p on t.class = 'pg_proc'::regclass and p.oid = t.oid where p.prokind <> 'a'
union all
select format('%s is %s%s', t.name, pg_get_constraintdef(k.oid), case when not k.convalidated then ', unchecked' end)
from thing t join pg_constraint k on t.class = 'pg_constraint'::regclass and k.oid = t.oid
union all
select format('%s is %s, enabled %s', t.name, pg_get_ruledef(r.oid), r.ev_enabled) from thing t join pg_rewrite r on t.class = 'pg_rewrite'::regclass and r.oid = t.oid
union all
select format('%s is %s, enabled %s', t.name, pg_get_triggerdef(g.oid), g.tgenabled) from thing t join pg_trigger g on t.class = 'pg_trigger'::regclass and g.oid = t.oid
union all
select concat_ws(', ', format('%s is for %s', t.name, p.polcmd), case when not p.polpermissive then 'restrictive' end,
                 (select string_agg(case when r = 0 then 'everyone' else pg_get_userbyid(r) end, ' ' order by pg_get_userbyid(r)) from unnest(p.polroles) r),
                 pg_get_expr(p.polqual, p.polrelid), 'check ' || pg_get_expr(p.polwithcheck, p.polrelid))
from thing t join pg_policy p on t.class = 'pg_policy'::regclass and p.oid = t.oid
union all
select format('%s is %s, target %s', t.name, pg_get_statisticsobjdef(s.oid), s.stxstattarget) from thing t join pg_statistic_ext s on t.class = 'pg_statistic_ext'::regclass and s.oid = t.oid
union all
select concat_ws(' ', format('publication %I has %I.%I', p.pubname, w.nspname, c.relname), r.prattrs::text, pg_get_expr(r.prqual, r.prrelid))
from pg_publication_rel r join pg_publication p on p.oid = r.prpubid join pg_class c on c.oid = r.prrelid join wanted w on w.oid = c.relnamespace
union all
select format('publication %I has all of schema %I', p.pubname, w.nspname)
from pg_publication_namespace r join pg_publication p on p.oid = r.pnpubid join wanted w on w.oid = r.pnnspid
