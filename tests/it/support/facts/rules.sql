-- Rules of tables and views, but the ones that make a view.
select n.nspname, format('%s.%s', n.nspname, c.relname), format('%s on %s.%s', r.rulename, n.nspname, c.relname),
       concat_ws(', ', pg_get_ruledef(r.oid), 'enabled ' || r.ev_enabled::text)
  from pg_rewrite r
  join pg_class c on c.oid = r.ev_class
  join pg_namespace n on n.oid = c.relnamespace
 where r.rulename <> '_RETURN'
