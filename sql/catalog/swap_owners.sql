-- The objects of objects.sql that the role does not own, and that it can neither move nor make again; each with its owner.
-- The sequence of a column goes with its table. Parsers and templates of the text search belong to superusers alone.
with owned (class, oid, owner) as (
    select 'pg_class'::regclass::oid, oid, relowner from pg_class
    where relkind in ('r', 'p', 'v', 'm', 'S', 'f') and relpersistence <> 't'
      and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = pg_class.oid
                        and d.refclassid = 'pg_class'::regclass and d.deptype = 'a' and relkind = 'S')
    union all select 'pg_type'::regclass, oid, typowner from pg_type
    union all select 'pg_proc'::regclass, oid, proowner from pg_proc
    union all select 'pg_operator'::regclass, oid, oprowner from pg_operator
    union all select 'pg_opclass'::regclass, oid, opcowner from pg_opclass
    union all select 'pg_opfamily'::regclass, oid, opfowner from pg_opfamily
    union all select 'pg_collation'::regclass, oid, collowner from pg_collation
    union all select 'pg_conversion'::regclass, oid, conowner from pg_conversion
    union all select 'pg_ts_config'::regclass, oid, cfgowner from pg_ts_config
    union all select 'pg_ts_dict'::regclass, oid, dictowner from pg_ts_dict
    union all select 'pg_ts_parser'::regclass, oid, 10 from pg_ts_parser
    union all select 'pg_ts_template'::regclass, oid, 10 from pg_ts_template
)
select o.class::bigint as class, o.oid::bigint as oid, pg_get_userbyid(o.owner)::text as owner,
       coalesce((select r.rolsuper from pg_roles r where r.oid = o.owner), false) as is_superusers
from owned o
where o.oid >= 16384 and not pg_has_role(current_user, o.owner, 'USAGE')
  and not exists (select from pg_depend d where d.classid = o.class and d.objid = o.oid and d.objsubid = 0 and d.deptype in ('e', 'i'))
order by 1, 2
