-- Who holds these relations ($1, oids) now: the session, and since when its transaction is open. Maintenance (VACUUM, ANALYZE, CREATE INDEX
-- CONCURRENTLY) is told apart: an automatic one only gives way to a waiter of more than deadlock_timeout.
select l.pid,
       bool_or(l.mode = 'ShareUpdateExclusiveLock') as is_maintenance,
       concat_ws(' ', 'process', l.pid, coalesce('of ' || a.usename, ''), coalesce('(' || nullif(a.application_name, '') || ')', ''),
                 coalesce('with a transaction open since ' || to_char(a.xact_start, 'YYYY-MM-DD HH24:MI:SS TZ'), '')) as label
from pg_locks l
left join pg_stat_activity a on a.pid = l.pid
where l.locktype = 'relation' and l.granted and l.relation = any ($1::bigint[]::oid[])
  and l.database = (select oid from pg_database where datname = current_database())
  and l.pid <> pg_backend_pid()
group by l.pid, a.usename, a.application_name, a.xact_start
order by a.xact_start nulls last, l.pid
