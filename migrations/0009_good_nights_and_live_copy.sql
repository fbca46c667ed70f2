-- What a good night is is said in run_history, and what readers see now in live_copy: the other views, the pages and the measures ask them.

-- Whether a command was `run night`, and not one stage that was done by hand.
alter table nightferry.runs add column asked_for_night boolean not null default false;

-- The nights of older versions are known by their stages. One that failed in its first one may have been that stage alone.
update nightferry.runs
set asked_for_night = true
where origin = 'command'
  and exists (select from nightferry.stages where stages.run_id = runs.run_id and stages.stage = 'full-replication')
  and (status <> 'succeeded' or exists (
    select from nightferry.stages where stages.run_id = runs.run_id and stages.stage <> 'full-replication'));

create index stages_by_start on nightferry.stages (stage, started_at);
create index runs_by_end on nightferry.runs (ended_at);

-- A run a line: a night, a stage that was done by hand, or a job beside the night.
create or replace view nightferry.run_history as
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
    runs.version,
    is_night,
    case
        when runs.status = 'running' or strpos(runs.run_id, '-') > 0 then null
        when is_night and runs.status <> 'succeeded' then false
        -- A night, or what a restart took up of one, is good where it came to its end, and nothing that it goes on from had failed: a
        -- notification that is restarted over a copy that failed makes no night good, and says nothing of the one that failed.
        when is_night then
            case when exists (
                    select from nightferry.stages
                    where stages.run_id = runs.run_id and stages.stage = 'notification' and stages.status = 'succeeded')
                and not exists (
                    select
                    from (values ('full-replication'), ('incremental-replication'), ('learning-content-replication')) as needed (stage)
                    where 'succeeded' is distinct from (
                        select latest.status
                        from nightferry.stages as latest
                        where latest.stage = needed.stage and latest.started_at <= runs.ended_at
                        order by latest.started_at desc
                        limit 1))
            then true end
        -- A stage by hand says nothing of the nights, but for a copy that failed: in place it took away what was there, until one ends well.
        when runs.status <> 'succeeded'
            and exists (
                select from nightferry.stages as tried
                where tried.run_id = runs.run_id and tried.stage = 'full-replication'
                  and not exists (
                    select from nightferry.stages as later
                    where later.stage = 'full-replication' and later.started_at > tried.started_at and later.status = 'succeeded'))
        then false
    end as ended_well,
    done.worked
from nightferry.runs
cross join lateral (
    select strpos(runs.run_id, '-') = 0 and (runs.origin <> 'command' or runs.asked_for_night) as is_night
) as kind
left join (
    select
        stages.run_id,
        array_agg(distinct stages.stage order by stages.stage) as stages,
        sum(stages.tables_written) as tables_written,
        sum(stages.rows_written) as rows_written,
        sum(stages.bytes_written) as bytes_written,
        sum(stages.ended_at - stages.started_at) as worked
    from nightferry.stages
    where stages.status = 'succeeded'
    group by stages.run_id
) as done using (run_id);

-- When each stage last ended well, and the night as a whole.
create or replace view nightferry.last_success as
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
    select 'night', run_id, started_at, ended_at, duration, now() - ended_at
    from nightferry.run_history
    where ended_well
    order by ended_at desc
    limit 1
);

-- What readers see: the copy that is live, or the one that a night is making in its place, or left there unfinished. No row where no night
-- has published or replaced anything yet.
create view nightferry.live_copy as
select
    generations.run_id,
    made.attempt,
    generations.mode,
    case
        when generations.run_id is null then 'foreign'
        when generations.published_at is not null then 'whole'
        when made.status = 'running' then 'filling'
        else 'unfinished'
    end as state,
    generations.created_at as begun_at,
    generations.published_at,
    fresh_as_of,
    now() - fresh_as_of as age
from nightferry.generations
left join lateral (
    -- The attempt that began it: a later one may have failed before it came so far.
    select stages.run_id, stages.stage, stages.attempt, stages.status, stages.started_at
    from nightferry.stages
    where stages.run_id = generations.run_id and stages.stage = 'full-replication' and stages.started_at <= generations.created_at
    order by stages.attempt desc
    limit 1
) as made on true
left join nightferry.source_backups
    on (source_backups.run_id, source_backups.stage, source_backups.attempt) = (made.run_id, made.stage, made.attempt)
cross join lateral (
    select case when generations.published_at is not null then coalesce(source_backups.taken_at, made.started_at) end as fresh_as_of
) as moment
-- A night in place drops the live one when it begins to build: from then on there is this one only.
where generations.state = 'live' or (generations.state = 'next' and generations.mode = 'in_place');

-- What became of each table in every attempt of a stage.
create or replace view nightferry.table_history as
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
    make_interval(secs => tables.duration_ms / 1000.0) as duration,
    -- The other stages commit what they write; a copy is seen once it is published, but for one that is made in place.
    case
        when tables.stage <> 'full-replication' or stages.status = 'succeeded' then true
        else exists (
            select from nightferry.generations
            where generations.run_id = tables.run_id
              and generations.created_at between stages.started_at and coalesce(stages.ended_at, 'infinity')
              and (generations.mode = 'in_place' or generations.published_at is not null))
    end as reached_readers
from nightferry.tables
join nightferry.stages using (run_id, stage, attempt);

-- How old is what readers see, table by table: since the copy was read, or since the backup was taken that it comes from. Of the copy that is
-- live and of the other stages, the later one counts: an incremental table is loaded whole once, and is older then than its increments.
create or replace view nightferry.table_freshness as
with of_the_copy as (
    select tables.*
    from nightferry.live_copy
    join nightferry.tables using (run_id, attempt)
    where tables.stage = 'full-replication'
),
of_other_stages as (
    select distinct on (tables.schema_name, tables.table_name) tables.*
    from nightferry.tables
    join nightferry.stages using (run_id, stage, attempt)
    where tables.stage <> 'full-replication'
    order by tables.schema_name, tables.table_name, stages.started_at desc
),
latest as (
    select distinct on (written.schema_name, written.table_name)
        written.*, coalesce(source_backups.taken_at, stages.started_at) as fresh_as_of
    from (select * from of_other_stages union all select * from of_the_copy) as written
    join nightferry.stages using (run_id, stage, attempt)
    left join nightferry.source_backups using (run_id, stage, attempt)
    order by written.schema_name, written.table_name, stages.started_at desc
)
select
    latest.schema_name,
    latest.table_name,
    latest.treatment,
    latest.rows_written,
    latest.run_id,
    latest.fresh_as_of,
    now() - latest.fresh_as_of as age
from latest
-- Those that are there: one that was dropped since has no age.
join pg_catalog.pg_namespace on pg_namespace.nspname = latest.schema_name
join pg_catalog.pg_class on pg_class.relnamespace = pg_namespace.oid and pg_class.relname = latest.table_name and pg_class.relkind in ('r', 'p');

grant select on nightferry.live_copy to public;
