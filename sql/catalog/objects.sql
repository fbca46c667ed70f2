-- Every object outside the system's schemas that a night may bring or replace: relations, types, functions, operators and
-- the rest that a schema can hold. Members of extensions, and what exists only as a part of something else (row and array
-- types, a range's constructors, identity sequences), are left out.
with listed (classid, objid) as (
    select 'pg_class'::regclass::oid, oid from pg_class
    where relkind in ('r', 'p', 'v', 'm', 'S', 'f') and relpersistence <> 't'
    union all
    select 'pg_type'::regclass, t.oid from pg_type t
    where (t.typtype in ('b', 'd', 'e', 'r') and not exists (select from pg_type e where e.typarray = t.oid))
       or (t.typtype = 'c' and exists (select from pg_class c where c.oid = t.typrelid and c.relkind = 'c'))
    union all select 'pg_proc'::regclass, oid from pg_proc
    union all select 'pg_operator'::regclass, oid from pg_operator
    union all select 'pg_opclass'::regclass, oid from pg_opclass
    union all select 'pg_opfamily'::regclass, oid from pg_opfamily
    union all select 'pg_collation'::regclass, oid from pg_collation
    union all select 'pg_conversion'::regclass, oid from pg_conversion
    union all select 'pg_ts_config'::regclass, oid from pg_ts_config
    union all select 'pg_ts_dict'::regclass, oid from pg_ts_dict
    union all select 'pg_ts_parser'::regclass, oid from pg_ts_parser
    union all select 'pg_ts_template'::regclass, oid from pg_ts_template
    union all select 'pg_cast'::regclass, oid from pg_cast
)
select l.classid::bigint as class, l.objid::bigint as oid, i.type as kind, coalesce(n.nspname::text, i.schema, '') as schema_name,
       -- Names as they are, nothing quoted. A function's is its signature as pg_dump writes it: name and argument types.
       coalesce(c.relname::text, t.typname::text,
                p.proname || '(' || coalesce(a.types, case when p.prokind = 'a' then '*' else '' end) || ')', case when i.name like '"%"' then replace(substr(i.name, 2, length(i.name) - 2), '""', '"') else i.name end,
                i.identity) as object_name,
       i.identity
from listed l
cross join lateral pg_identify_object(l.classid, l.objid, 0) i
left join pg_class c on l.classid = 'pg_class'::regclass and c.oid = l.objid
left join pg_type t on l.classid = 'pg_type'::regclass and t.oid = l.objid
left join pg_proc p on l.classid = 'pg_proc'::regclass and p.oid = l.objid
left join pg_namespace n on n.oid = coalesce(c.relnamespace, t.typnamespace, p.pronamespace)
left join lateral (
    select string_agg(format_type(u.t, null), ', ' order by u.n) as types from unnest(p.proargtypes) with ordinality as u (t, n)
) a on true
where l.objid >= 16384
  -- Null for what somebody drops at this moment.
  and i.identity is not null
  and coalesce(n.nspname::text, i.schema, '') not in ('pg_catalog', 'information_schema', 'nightferry')
  and not exists (
      select from pg_depend d
      where d.classid = l.classid and d.objid = l.objid and d.objsubid = 0 and d.deptype in ('e', 'i'))
order by i.type, i.identity
