-- Whether a session may write for the holder of the lock: it takes its share of the writers' lock ($1) first, and only then looks whether
-- the holder's own mark ($2) is still there. In this order nobody can take over unseen in between.
select case when pg_try_advisory_lock_shared($1) then exists (
    select from pg_locks held
    where held.locktype = 'advisory' and held.granted and held.objsubid = 1 and held.mode = 'ExclusiveLock'
      and (held.classid::bigint << 32) | held.objid::bigint = $2
      and held.database = (select oid from pg_database where datname = current_database())
) else false end;
