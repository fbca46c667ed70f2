-- Who holds the warehouse: the holder writes itself into its session's application name.
select activity.application_name
from pg_locks held
join pg_stat_activity activity using (pid)
where held.locktype = 'advisory'
  and held.granted
  and held.objsubid = 1
  and (held.classid::bigint << 32) | held.objid::bigint = $1
  and held.database = (select oid from pg_database where datname = current_database());
