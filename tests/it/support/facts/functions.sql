-- Functions, procedures and aggregates.
select n.nspname, '', p.oid::regprocedure::text,
       case when p.prokind = 'a'
            then concat_ws(', ', a.aggkind, a.aggtransfn::regprocedure, a.aggtranstype::regtype, a.agginitval, nullif(a.aggfinalfn, 0)::regprocedure)
            else pg_get_functiondef(p.oid) end
  from pg_proc p
  join pg_namespace n on n.oid = p.pronamespace
  left join pg_aggregate a on a.aggfnoid = p.oid
 where p.prokind in ('f', 'p', 'a', 'w')
   and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype in ('e', 'i'))
