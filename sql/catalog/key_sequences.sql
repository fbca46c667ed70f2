-- The relations that hold the rows of table $1 (oid), itself and its partitions, each with the sequence that its column $2
-- takes its default from: identity, serial, or a default of exactly nextval('...'); and whether it has a default of another kind.
with recursive part (relid) as (
    select $1::bigint::oid
    union
    select i.inhrelid from pg_inherits i join part p on p.relid = i.inhparent
    join pg_class c on c.oid = i.inhrelid
    where c.relispartition
)
select p.relid::bigint as relation, s.seqrelid::bigint as sequence, s.seqcache as cache,
       s.seqincrement > 0 and not s.seqcycle as grows,
       -- Since PostgreSQL 17 partitions share the identity of their table, and with it the sequence.
       s.seqrelid is null and (a.atthasdef or (a.attidentity <> '' and p.relid = $1::bigint::oid)) as has_other, p.relid = $1::bigint::oid as is_root
from part p
join pg_attribute a on a.attrelid = p.relid and a.attname = $2
left join lateral (
    select d.objid as seqrelid from pg_depend d
    where a.attidentity <> '' and d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass
      and d.refobjid = p.relid and d.refobjsubid = a.attnum and d.deptype = 'i'
    union all
    select d.refobjid from pg_attrdef f
    join pg_depend d on d.classid = 'pg_attrdef'::regclass and d.objid = f.oid and d.refclassid = 'pg_class'::regclass
    join pg_class c on c.oid = d.refobjid and c.relkind = 'S'
    where f.adrelid = p.relid and f.adnum = a.attnum
      and pg_get_expr(f.adbin, f.adrelid) ~ '^nextval\(''([^'']|'''')*''::regclass\)$'
    limit 1
) o on true
left join pg_sequence s on s.seqrelid = o.seqrelid
