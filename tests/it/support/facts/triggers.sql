-- Triggers and whether they fire; those that the server made for itself are left out.
select n.nspname, format('%s.%s', n.nspname, c.relname), format('%s on %s.%s', t.tgname, n.nspname, c.relname),
       concat_ws(', ', pg_get_triggerdef(t.oid), 'enabled ' || t.tgenabled::text)
  from pg_trigger t
  join pg_class c on c.oid = t.tgrelid
  join pg_namespace n on n.oid = c.relnamespace
 where not t.tgisinternal
