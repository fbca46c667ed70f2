-- What a good night is is said in run_history: the other views, the pages and the measures ask it.

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
