-- The extensions, each with the schemas that its members are in, and whether ALTER EXTENSION ... SET SCHEMA is for this role:
-- it takes the ownership of the extension and of its members (those of a trusted extension belong to the superuser, whoever
-- made it), relations and their row types apart. Parsers and templates of the text search belong to nobody but superusers.
with member (classid, objid, namespace, owner) as (
    select 'pg_class'::regclass::oid, oid, relnamespace, null::oid from pg_class
    union all select 'pg_type'::regclass, oid, typnamespace, typowner from pg_type
    union all select 'pg_proc'::regclass, oid, pronamespace, proowner from pg_proc
    union all select 'pg_operator'::regclass, oid, oprnamespace, oprowner from pg_operator
    union all select 'pg_opclass'::regclass, oid, opcnamespace, opcowner from pg_opclass
    union all select 'pg_opfamily'::regclass, oid, opfnamespace, opfowner from pg_opfamily
    union all select 'pg_collation'::regclass, oid, collnamespace, collowner from pg_collation
    union all select 'pg_conversion'::regclass, oid, connamespace, conowner from pg_conversion
    union all select 'pg_ts_config'::regclass, oid, cfgnamespace, cfgowner from pg_ts_config
    union all select 'pg_ts_dict'::regclass, oid, dictnamespace, dictowner from pg_ts_dict
    union all select 'pg_ts_parser'::regclass, oid, prsnamespace, 10 from pg_ts_parser
    union all select 'pg_ts_template'::regclass, oid, tmplnamespace, 10 from pg_ts_template
)
select e.extname::text as name, n.nspname::text as schema_name,
       array(select distinct mn.nspname::text from pg_depend d
             join member m using (classid, objid) join pg_namespace mn on mn.oid = m.namespace
             where d.refclassid = 'pg_extension'::regclass and d.refobjid = e.oid and d.deptype = 'e'
             union select n.nspname::text order by 1) as reaches_into,
       e.extrelocatable as is_relocatable,
       pg_has_role(current_user, e.extowner, 'USAGE') and not exists (
           select from pg_depend d join member m using (classid, objid)
           where d.refclassid = 'pg_extension'::regclass and d.refobjid = e.oid and d.deptype = 'e'
             and not pg_has_role(current_user, m.owner, 'USAGE')) as is_owned
from pg_extension e
join pg_namespace n on n.oid = e.extnamespace
order by 1
