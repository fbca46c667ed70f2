-- The range types whose constructors belong to the superuser, as PostgreSQL makes them: this role cannot move those along.
select 'pg_type'::regclass::bigint as class, r.rngtypid::bigint as oid
from pg_range r
where r.rngtypid >= 16384 and exists (
    select from pg_depend d
    join pg_proc p on p.oid = d.objid
    where d.classid = 'pg_proc'::regclass and d.refclassid = 'pg_type'::regclass and d.deptype = 'i'
      and d.refobjid in (r.rngtypid, r.rngmultitypid) and not pg_has_role(p.proowner, 'USAGE'))
order by 2
