-- The nights in numbers. A night that ended well went through to its last stage; the jobs beside the night have a name with a dash.
with nights as (
    select run_id, status, started_at, ended_at
    from nightferry.runs
    where strpos(run_id, '-') = 0
), good as (
    select extract(epoch from ended_at - started_at)::float8 as seconds, ended_at
    from nights
    where status = 'succeeded'
      and exists (
        select from nightferry.stages
        where stages.run_id = nights.run_id and stages.stage = 'notification' and stages.status = 'succeeded')
      and exists (
        select from nightferry.stages
        where stages.run_id = nights.run_id and stages.stage = 'full-replication' and stages.status = 'succeeded')
    order by ended_at desc
    limit 7
)
select (select seconds from good order by ended_at desc limit 1) as last_seconds,
       (select percentile_cont(0.5) within group (order by seconds) from good) as usual_seconds,
       (select status = 'succeeded' from nights where status <> 'running' order by ended_at desc limit 1) as last_succeeded,
       (select max(started_at) from nights where status = 'running') as open_since
