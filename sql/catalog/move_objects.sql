-- The statements that move these objects ($1 class oids, $2 oids) to schemas ($3). Routines and operators ($4) are asked for after the
-- rest has moved: the types in their signatures move too. What a type brings along (a range's multirange, and the constructors
-- of both) does not follow by itself; an array does. A column's own sequence goes where its table goes, and cannot go alone.
with recursive asked (class, oid, target, n) as (
    select o.class::oid, o.oid::oid, o.target, o.n
    from unnest($1::bigint[], $2::bigint[], $3::text[]) with ordinality as o (class, oid, target, n)
    union
    select d.classid, d.objid, a.target, a.n
    from asked a
    join pg_depend d on d.refclassid = a.class and d.refobjid = a.oid and d.deptype = 'i'
    where a.class = 'pg_type'::regclass and d.classid in ('pg_type'::regclass, 'pg_proc'::regclass)
      and not exists (select from pg_type e where d.classid = 'pg_type'::regclass and e.typarray = d.objid)
)
select format('alter %s %s set schema %I',
              case i.type when 'statistics object' then 'statistics' else i.type end,
              case when i.type = 'aggregate' and i.identity like '%()' then left(i.identity, -2) || '(*)' else i.identity end,
              o.target) as statement
from asked o
cross join lateral pg_identify_object(o.class, o.oid, 0) i
where not exists (
    select from pg_depend d
    join pg_class s on s.oid = d.objid and s.relkind = 'S'
    where o.class = 'pg_class'::regclass and d.classid = o.class and d.objid = o.oid
      and d.refclassid = 'pg_class'::regclass and d.refobjsubid > 0 and d.deptype in ('a', 'i'))
  and $4 = (o.class in ('pg_proc'::regclass, 'pg_operator'::regclass))
order by o.n
