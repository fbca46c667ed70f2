-- What forbids another type for the columns of table $1 (an oid) and of its partitions and children: whatever was made for the
-- type that they have, and whether only where the values are cast (PostgreSQL manual, ALTER TABLE; ATPrepAlterColumnType and RememberAllDependentForRebuilding).
with recursive family (oid) as (
    select $1::bigint::oid
    union
    select i.inhrelid from family f join pg_inherits i on i.inhparent = f.oid
)
select distinct a.attname::text as name,
       case when v.oid is not null
            then case v.relkind when 'v' then 'view ' when 'm' then 'materialized view ' else 'a rule of ' end
                 || format('%s.%s', vn.nspname, v.relname)
            when g.oid is not null then pg_describe_object('pg_class'::regclass, g.adrelid, g.adnum)
            else pg_describe_object(d.classid, d.objid, d.objsubid) end as holder,
       false as of_casts
from family f
join pg_attribute a on a.attrelid = f.oid and a.attnum > 0 and not a.attisdropped
join pg_depend d on d.refclassid = 'pg_class'::regclass and d.refobjid = f.oid and d.refobjsubid = a.attnum
left join pg_rewrite r on d.classid = 'pg_rewrite'::regclass and r.oid = d.objid
left join pg_class v on v.oid = r.ev_class
left join pg_namespace vn on vn.oid = v.relnamespace
left join pg_attrdef g on d.classid = 'pg_attrdef'::regclass and g.oid = d.objid
where d.classid in ('pg_rewrite'::regclass, 'pg_policy'::regclass, 'pg_trigger'::regclass, 'pg_proc'::regclass, 'pg_publication_rel'::regclass)
   or (g.adrelid = f.oid and g.adnum <> a.attnum)
union
select a.attname::text, 'the table''s partitions', false
from family f
join pg_partitioned_table p on p.partrelid = f.oid
join pg_attribute a on a.attrelid = f.oid and a.attnum = any (p.partattrs::smallint[])
union
select a.attname::text, 'the table''s parent', false
from pg_attribute a
where a.attrelid = $1::bigint::oid and a.attinhcount > 0 and a.attnum > 0
union
-- What compares the column with constants of its type: a wider number still does, a text does not.
select a.attname::text, pg_describe_object(d.classid, d.objid, 0), true
from family f
join pg_attribute a on a.attrelid = f.oid and a.attnum > 0 and not a.attisdropped
join pg_depend d on d.refclassid = 'pg_class'::regclass and d.refobjid = f.oid and d.refobjsubid = a.attnum
left join pg_index i on d.classid = 'pg_class'::regclass and i.indexrelid = d.objid
left join pg_constraint k on d.classid = 'pg_constraint'::regclass and k.oid = d.objid
where i.indpred is not null or i.indexprs is not null or k.contype = 'c'
order by 1, 2
