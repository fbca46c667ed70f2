-- The triggers of table $1.$2 that an INSERT or a COPY would fire; tgtype bit 2 is INSERT (catalog/pg_trigger.h).
select t.tgname::text as name, t.tgenabled = 'A' as always
from pg_trigger t
join pg_class c on c.oid = t.tgrelid
join pg_namespace n on n.oid = c.relnamespace
where n.nspname = $1 and c.relname = $2
  and not t.tgisinternal and t.tgenabled in ('O', 'A') and (t.tgtype & 4) <> 0
order by t.tgname
