-- What an earlier attempt ($1, $2, $3) tells of these tables ($4 schemas, $5 names) and of what is built on them ($6 names, empty for the
-- table itself).
with wanted as (
    select * from unnest($4::text[], $5::text[], $6::text[]) as wanted (schema_name, table_name, object_name)
)
select wanted.*, tables.rows_written as rows, tables.duration_ms
from wanted
join nightferry.tables using (schema_name, table_name)
where wanted.object_name = '' and run_id = $1 and stage = $2 and attempt = $3
union all
select wanted.*, coalesce(tables.rows_written, 0), objects.duration_ms
from wanted
join nightferry.objects using (schema_name, table_name, object_name)
left join nightferry.tables using (run_id, stage, attempt, schema_name, table_name)
where run_id = $1 and stage = $2 and attempt = $3
