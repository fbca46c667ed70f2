-- Ends the sessions that have a share of the writers' lock ($1).
select count(*) filter (where pg_terminate_backend(held.pid))
from pg_locks held
where held.locktype = 'advisory' and held.granted and held.objsubid = 1 and held.pid <> pg_backend_pid()
  and (held.classid::bigint << 32) | held.objid::bigint = $1
  and held.database = (select oid from pg_database where datname = current_database());
