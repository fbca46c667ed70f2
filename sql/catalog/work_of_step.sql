-- What a step ($4) of an earlier attempt ($1, $2, $3) had to do, in milliseconds of all its connections together, and how much of that
-- attempt $6 of run $5 has done by now. What was begun while the step ran is the step's.
with span as (
    select min(started_at) as begins, max(ended_at) as ends
    from nightferry.steps
    where run_id = $1 and stage = $2 and attempt = $3 and step = $4
), work as (
    select 'TABLE DATA' as kind, tables.schema_name, tables.table_name, '' as object_name, tables.duration_ms
    from nightferry.tables, span
    where run_id = $1 and stage = $2 and attempt = $3 and started_at between begins and ends
    union all
    select objects.kind, objects.schema_name, objects.table_name, objects.object_name, objects.duration_ms
    from nightferry.objects, span
    where run_id = $1 and stage = $2 and attempt = $3 and started_at between begins and ends
), done as (
    select 'TABLE DATA' as kind, tables.schema_name, tables.table_name, '' as object_name
    from nightferry.tables
    where run_id = $5 and stage = $2 and attempt = $6
    union
    select objects.kind, objects.schema_name, objects.table_name, objects.object_name
    from nightferry.objects
    where run_id = $5 and stage = $2 and attempt = $6
)
select coalesce(sum(work.duration_ms), 0)::bigint as total_ms,
       coalesce(sum(work.duration_ms) filter (where done.kind is not null), 0)::bigint as done_ms
from work
left join done using (kind, schema_name, table_name, object_name)
