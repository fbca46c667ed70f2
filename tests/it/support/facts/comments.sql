-- Every comment, also on what is in no schema, but for those that belong to the system or to an extension.
select coalesce(o.schema, o.identity), '', format('%s %s', o.type, o.identity), d.description
  from pg_description d, lateral pg_identify_object(d.classoid, d.objoid, d.objsubid) o
 where (d.objoid >= 16384 or o.type = 'schema')
   and not exists (select from pg_depend e where e.classid = d.classoid and e.objid = d.objoid and e.deptype = 'e')
