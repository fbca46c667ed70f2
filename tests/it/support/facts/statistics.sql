-- Extended statistics objects.
select n.nspname, format('%s.%s', tn.nspname, t.relname), format('%s.%s', n.nspname, s.stxname),
       concat_ws(', ', pg_get_statisticsobjdef(s.oid), 'target ' || nullif(s.stxstattarget, -1))
  from pg_statistic_ext s
  join pg_namespace n on n.oid = s.stxnamespace
  join pg_class t on t.oid = s.stxrelid
  join pg_namespace tn on tn.oid = t.relnamespace
