-- What is under way on the server at this moment, seen by any role. pg_locks is read once: a transaction that is prepared
-- meanwhile shows under its old name or its new one, never under none.
--   transaction  every transaction in progress, with whether it is one of this database
--   writer       those that may write to the relations $1, with the relation: prepared ones are named -1/xid
--   session      every session of this database, by its process id
-- Nothing of the session that asks.
-- Sessions are read before locks: what a session that has ended by then has prepared shows among the locks.
-- A prepared transaction goes by its transaction id, which a restart keeps. (Until then pg_locks has the virtual id that it had.)
with sessions as materialized (
    select pid, backend_type is distinct from 'autovacuum worker' as may_write
    from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid()
), locks as materialized (
    select locktype, relation::bigint as relation, virtualtransaction, pid, transactionid,
           database = (select oid from pg_database where datname = current_database()) as is_here,
           mode in ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock') as writes
    from pg_locks
    -- Makes the sessions be read first.
    where (select count(*) from sessions) >= 0 and pid is distinct from pg_backend_pid()
), named as (
    select l.*, coalesce('-1/' || p.transactionid, l.virtualtransaction) as id
    from locks l
    left join locks p on l.pid is null and p.pid is null and p.locktype = 'transactionid'
                     and p.virtualtransaction = l.virtualtransaction
)
select 'transaction' as what, l.id, null::bigint as relation, coalesce(s.may_write, false) as is_here
from named l
left join sessions s using (pid)
where l.locktype = 'virtualxid'
union all
select 'writer', id, relation, true
from named
where locktype = 'relation' and is_here and writes and relation = any ($1)
union all
select distinct 'prepared', id, null::bigint, true
from named
where locktype = 'relation' and is_here and writes and pid is null
union all
select 'session', pid::text, null, true
from sessions
