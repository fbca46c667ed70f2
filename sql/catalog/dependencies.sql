-- Who leans on whom, told in terms of the objects of objects.sql: a default, a trigger, a check or an index counts as its
-- table, a rule as its view, a row or array type as its table or element type. Foreign keys and row policies are marked,
-- since they can be taken off a table and put back.
with part (classid, objid, of_class, of_oid, by) as (
    select 'pg_attrdef'::regclass::oid, oid, 'pg_class'::regclass::oid, adrelid, '' from pg_attrdef
    union all
    select 'pg_constraint'::regclass, oid,
           case when conrelid <> 0 then 'pg_class'::regclass else 'pg_type'::regclass end,
           case when conrelid <> 0 then conrelid else contypid end, contype::text from pg_constraint
    union all select 'pg_trigger'::regclass, oid, 'pg_class'::regclass, tgrelid, '' from pg_trigger
    union all select 'pg_rewrite'::regclass, oid, 'pg_class'::regclass, ev_class, '' from pg_rewrite
    union all select 'pg_policy'::regclass, oid, 'pg_class'::regclass, polrelid, 'policy' from pg_policy
    union all select 'pg_statistic_ext'::regclass, oid, 'pg_class'::regclass, stxrelid, '' from pg_statistic_ext
    union all select 'pg_class'::regclass, indexrelid, 'pg_class'::regclass, indrelid, '' from pg_index
    union all select 'pg_class'::regclass, oid, 'pg_type'::regclass, reltype, '' from pg_class where relkind = 'c'
    union all
    select 'pg_type'::regclass, t.oid, 'pg_class'::regclass, c.oid, ''
    from pg_type t join pg_class c on c.oid = t.typrelid where c.relkind <> 'c'
    union all
    select 'pg_type'::regclass, e.typarray,
           case when c.oid is null then 'pg_type'::regclass else 'pg_class'::regclass end, coalesce(c.oid, e.oid), ''
    from pg_type e left join pg_class c on c.oid = e.typrelid and c.relkind <> 'c' where e.typarray <> 0
    union all
    select d.classid, d.objid, d.refclassid, d.refobjid, '' from pg_depend d
    where d.deptype = 'i' and d.refobjid >= 16384
      and d.classid in ('pg_proc'::regclass, 'pg_type'::regclass, 'pg_class'::regclass)
      and d.refclassid in ('pg_type'::regclass, 'pg_class'::regclass)
      and not exists (select from pg_index x where d.classid = 'pg_class'::regclass and x.indexrelid = d.objid)
      and not exists (select from pg_type t where d.classid = 'pg_type'::regclass and t.oid = d.objid and t.typtype <> 'm')
      and not exists (select from pg_class c where d.classid = 'pg_class'::regclass and c.oid = d.objid and c.relkind = 'c')
)
select distinct coalesce(f.of_class, d.classid)::bigint as from_class, coalesce(f.of_oid, d.objid)::bigint as from_oid,
       coalesce(t.of_class, d.refclassid)::bigint as to_class, coalesce(t.of_oid, d.refobjid)::bigint as to_oid,
       coalesce(f.by = 'f', false) as is_fk, coalesce(f.by = 'policy', false) as is_policy
from pg_depend d
left join part f on (f.classid, f.objid) = (d.classid, d.objid)
left join part t on (t.classid, t.objid) = (d.refclassid, d.refobjid)
where d.objid >= 16384 and d.refobjid >= 16384 and d.deptype <> 'e'
  -- A foreign key's own triggers lean on the key from both of its tables.
  and not (d.classid = 'pg_trigger'::regclass and d.deptype = 'i')
  and (coalesce(f.of_class, d.classid), coalesce(f.of_oid, d.objid))
      <> (coalesce(t.of_class, d.refclassid), coalesce(t.of_oid, d.refobjid))
