-- Row policies.
select n.nspname, format('%s.%s', n.nspname, c.relname), format('%s on %s.%s', p.polname, n.nspname, c.relname),
       concat_ws(', ', case when p.polpermissive then 'permissive' else 'restrictive' end, p.polcmd, p.polroles::regrole[]::text,
                 'using ' || pg_get_expr(p.polqual, p.polrelid), 'check ' || pg_get_expr(p.polwithcheck, p.polrelid))
  from pg_policy p
  join pg_class c on c.oid = p.polrelid
  join pg_namespace n on n.oid = c.relnamespace
