-- What the sessions of nightferry are doing at this moment, with how far the server says they are: rows and bytes of a COPY, blocks
-- and tuples of an index, blocks of an ANALYZE. Those that wait for their next statement are left out, and so is the one that asks.
select activity.pid,
       activity.application_name,
       coalesce(activity.query_start, activity.backend_start) as since,
       left(activity.query, 1000) as query,
       activity.wait_event_type = 'Lock' as waits_for_lock,
       namespace.nspname as schema_name,
       relation.relname as relation_name,
       -- A staging table goes by the name of what it is for; the server only knows that it is temporary.
       coalesce(relation.relpersistence = 't', false) as is_temporary,
       copy.tuples_processed as copied_rows,
       copy.bytes_processed as copied_bytes,
       nullif(copy.bytes_total, 0) as copy_bytes_total,
       coalesce(making.phase, sampling.phase) as phase,
       coalesce(making.blocks_done, sampling.sample_blks_scanned) as blocks_done,
       coalesce(nullif(making.blocks_total, 0), nullif(sampling.sample_blks_total, 0)) as blocks_total,
       making.tuples_done,
       nullif(making.tuples_total, 0) as tuples_total
from pg_stat_activity as activity
left join pg_stat_progress_copy as copy on copy.pid = activity.pid
left join pg_stat_progress_create_index as making on making.pid = activity.pid
left join pg_stat_progress_analyze as sampling on sampling.pid = activity.pid
left join pg_class as relation on relation.oid = coalesce(copy.relid, making.relid, sampling.relid)
left join pg_namespace as namespace on namespace.oid = relation.relnamespace
where activity.datname = current_database()
  and activity.backend_type = 'client backend'
  and activity.pid <> pg_backend_pid()
  and activity.state = 'active'
  and activity.application_name like 'nightferry %'
order by activity.query_start, activity.pid
