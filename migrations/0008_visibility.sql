-- What was built, how long it took, and on which connection: what a table's line has, for indexes and constraints.
create table nightferry.objects (
    run_id text not null,
    stage text not null,
    attempt int not null,
    kind text not null, -- INDEX, CONSTRAINT, FK CONSTRAINT, ...
    schema_name text not null,
    table_name text not null,
    object_name text not null,
    connection text, -- null: the stage's own
    started_at timestamptz not null,
    duration_ms bigint not null,
    foreign key (run_id, stage, attempt) references nightferry.stages on delete cascade
);

create index objects_of_a_stage on nightferry.objects (run_id, stage, attempt);

-- Null: written by a version that did not know.
alter table nightferry.tables
    add column connection text,
    add column started_at timestamptz;

create index tables_by_name on nightferry.tables (schema_name, table_name);
create index tables_of_other_stages on nightferry.tables (schema_name, table_name) where stage <> 'full-replication';
create index runs_by_start on nightferry.runs (started_at);

-- How far a step is that moves bytes which no server counts: a download, a push.
alter table nightferry.steps
    add column bytes_done bigint,
    add column bytes_total bigint;

-- What a stage wrote, in all: the rows of nightferry.tables are too many to be added up for every look at four hundred nights.
alter table nightferry.stages
    add column tables_written bigint not null default 0,
    add column rows_written bigint not null default 0,
    add column bytes_written bigint not null default 0;

update nightferry.stages
set (tables_written, rows_written, bytes_written) = (
    select count(*), coalesce(sum(tables.rows_written), 0), coalesce(sum(tables.bytes), 0)
    from nightferry.tables
    where (tables.run_id, tables.stage, tables.attempt) = (stages.run_id, stages.stage, stages.attempt));

-- For analysts. Whoever may use the schema may read these views; docs/ledger.md describes them.

-- A run a line: a night, a stage that was restarted, or a job beside the night.
create view nightferry.run_history as
select
    runs.run_id,
    runs.origin,
    runs.status,
    runs.started_at,
    runs.ended_at,
    runs.ended_at - runs.started_at as duration,
    coalesce(done.stages, '{}') as succeeded_stages,
    coalesce(done.tables_written, 0)::bigint as tables_written,
    coalesce(done.rows_written, 0)::bigint as rows_written,
    coalesce(done.bytes_written, 0)::bigint as bytes_written,
    runs.error_kind,
    runs.error,
    runs.hint,
    runs.host,
    runs.version
from nightferry.runs
left join (
    select
        stages.run_id,
        array_agg(distinct stages.stage order by stages.stage) as stages,
        sum(stages.tables_written) as tables_written,
        sum(stages.rows_written) as rows_written,
        sum(stages.bytes_written) as bytes_written
    from nightferry.stages
    where stages.status = 'succeeded'
    group by stages.run_id
) as done using (run_id);

-- When each stage last ended well, and the night as a whole.
create view nightferry.last_success as
(
    select distinct on (stages.stage)
        stages.stage,
        stages.run_id,
        stages.started_at,
        stages.ended_at,
        stages.ended_at - stages.started_at as duration,
        now() - stages.ended_at as age
    from nightferry.stages
    where stages.status = 'succeeded'
    order by stages.stage, stages.ended_at desc
)
union all
(
    -- A night that failed and was taken up again by `restart` has two runs; the second one has not all stages, but ends well.
    select
        'night',
        runs.run_id,
        runs.started_at,
        runs.ended_at,
        runs.ended_at - runs.started_at,
        now() - runs.ended_at
    from nightferry.runs
    where runs.status = 'succeeded'
      and exists (
        select from nightferry.stages
        where stages.run_id = runs.run_id and stages.stage = 'notification' and stages.status = 'succeeded')
      -- `run notification` by hand is no night.
      and (runs.origin <> 'command' or exists (
        select from nightferry.stages
        where stages.run_id = runs.run_id and stages.stage = 'full-replication' and stages.status = 'succeeded'))
    order by runs.ended_at desc
    limit 1
);

-- What became of each table in every attempt of a stage.
create view nightferry.table_history as
select
    tables.schema_name,
    tables.table_name,
    tables.run_id,
    tables.stage,
    tables.attempt,
    stages.status as stage_status,
    tables.treatment,
    tables.rows_written,
    tables.bytes,
    coalesce(tables.started_at, stages.started_at) as started_at,
    make_interval(secs => tables.duration_ms / 1000.0) as duration
from nightferry.tables
join nightferry.stages using (run_id, stage, attempt);

-- How old is what readers see, table by table: since the copy was read, or since the backup was taken that it comes from. The rows of the full stage are those of the generation that is live, which after a
-- rollback is not the last one.
create view nightferry.table_freshness as
with live as (
    select distinct on (stages.stage) stages.run_id, stages.stage, stages.attempt
    from nightferry.generations
    join nightferry.stages using (run_id)
    where generations.state = 'live' and stages.stage = 'full-replication' and stages.status = 'succeeded'
    order by stages.stage, stages.attempt desc
),
of_the_copy as (
    select tables.*
    from nightferry.tables
    join live using (run_id, stage, attempt)
),
of_other_stages as (
    select distinct on (tables.schema_name, tables.table_name) tables.*
    from nightferry.tables
    join nightferry.stages using (run_id, stage, attempt)
    where tables.stage <> 'full-replication'
    order by tables.schema_name, tables.table_name, stages.started_at desc
),
latest as (
    select * from of_other_stages
    union all
    select * from of_the_copy
    -- An incremental table is loaded whole once; from then on its increments tell its age.
    where not exists (
        select from of_other_stages as other
        where (other.schema_name, other.table_name) = (of_the_copy.schema_name, of_the_copy.table_name))
)
select
    latest.schema_name,
    latest.table_name,
    latest.treatment,
    latest.rows_written,
    latest.run_id,
    fresh_as_of,
    now() - fresh_as_of as age
from latest
join nightferry.stages using (run_id, stage, attempt)
left join nightferry.source_backups using (run_id, stage, attempt)
cross join lateral (select coalesce(source_backups.taken_at, stages.started_at) as fresh_as_of) as moment;

grant select on nightferry.run_history, nightferry.last_success, nightferry.table_history, nightferry.table_freshness to public;
