-- Behind text_only.sql. How to copy the rows of these tables ($1, oids): the columns to name, and whether the binary format carries
-- every value that is copied.
select c.oid::bigint as oid, n.nspname::text as schema_name, c.relname::text as table_name, bool_or(u.number is not null and a.attgenerated = '') is not true as binary,
       coalesce(array_agg(a.attname::text order by a.attnum) filter (where a.attgenerated = ''), '{}') as columns,
       bool_or(a.attgenerated <> '') is true as has_generated,
       -- A row is checked or computed by a function that looks names up when it is called.
       exists (
           select from pg_depend d
           join pg_proc p on d.refclassid = 'pg_proc'::regclass and p.oid = d.refobjid
           join pg_language l on l.oid = p.prolang
           where l.lanname not in ('internal', 'c') and to_jsonb(p) ->> 'prosqlbody' is null
             and (d.classid = 'pg_attrdef'::regclass and d.objid in (select f.oid from pg_attrdef f where f.adrelid = c.oid)
                  or d.classid = 'pg_constraint'::regclass and d.objid in (
                      select k.oid from pg_constraint k where k.contype = 'c' and (k.conrelid = c.oid
                          or k.contypid in (select y.atttypid from pg_attribute y where y.attrelid = c.oid and not y.attisdropped))))
       ) as calls_functions
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
left join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
left join text_only u on u.relid = a.attrelid and u.number = a.attnum
where c.oid = any ($1::bigint[]::oid[]) and c.relkind = 'r'
group by c.oid, n.nspname, c.relname
