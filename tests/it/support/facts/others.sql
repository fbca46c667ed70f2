-- Schemas, extensions, operators, casts, collations and text search configurations.
select n.nspname, '', 'schema ' || n.nspname, 'there' from pg_namespace n
union all
select n.nspname, '', 'extension ' || e.extname, format('in %s, version %s', n.nspname, e.extversion)
  from pg_extension e join pg_namespace n on n.oid = e.extnamespace
union all
select n.nspname, '', 'operator ' || o.oid::regoperator,
       concat_ws(', ', o.oprcode::regprocedure, nullif(o.oprcom, 0)::regoperator, nullif(o.oprnegate, 0)::regoperator, o.oprrest, o.oprjoin)
  from pg_operator o join pg_namespace n on n.oid = o.oprnamespace
 where not exists (select from pg_depend d where d.classid = 'pg_operator'::regclass and d.objid = o.oid and d.deptype = 'e')
union all
select n.nspname, '', format('cast (%s as %s)', c.castsource::regtype, c.casttarget::regtype),
       concat_ws(', ', nullif(c.castfunc, 0)::regprocedure, c.castcontext, c.castmethod)
  from pg_cast c join pg_type t on t.oid = c.castsource join pg_namespace n on n.oid = t.typnamespace
 where c.oid >= 16384
   and not exists (select from pg_depend d where d.classid = 'pg_cast'::regclass and d.objid = c.oid and d.deptype = 'e')
union all
select n.nspname, '', format('collation %I.%I', n.nspname, c.collname), concat_ws(', ', c.collprovider, c.collisdeterministic, c.collcollate, c.collctype)
  from pg_collation c join pg_namespace n on n.oid = c.collnamespace
union all
select n.nspname, '', format('text search configuration %I.%I', n.nspname, c.cfgname),
       (select string_agg(format('%s %s', m.maptokentype, m.mapdict::regdictionary), ' ' order by m.maptokentype, m.mapseqno) from pg_ts_config_map m where m.mapcfg = c.oid)
  from pg_ts_config c join pg_namespace n on n.oid = c.cfgnamespace
