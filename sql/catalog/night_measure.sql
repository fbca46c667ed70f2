-- The nights in numbers. A night that ended well went through to its last stage; the jobs beside the night have a name with a dash.
-- One stage that was done by hand is no night, and tells nothing of the last one where it ended well.
with nights as (
    select run_id, origin, status, started_at, ended_at, did.notification, did.copy
    from nightferry.runs
    cross join lateral (
        select coalesce(bool_or(stage = 'notification'), false) as notification, coalesce(bool_or(stage = 'full-replication'), false) as copy
        from nightferry.stages
        where stages.run_id = runs.run_id and stages.status = 'succeeded'
    ) as did
    where strpos(run_id, '-') = 0
), good as (
    select extract(epoch from ended_at - started_at)::float8 as seconds, ended_at
    from nights
    where status = 'succeeded' and notification and copy
    order by ended_at desc
    limit 7
)
select (select seconds from good order by ended_at desc limit 1) as last_seconds,
       (select percentile_cont(0.5) within group (order by seconds) from good) as usual_seconds,
       (select status = 'succeeded' from nights
        where status in ('failed', 'interrupted') or (status = 'succeeded' and notification and (copy or origin <> 'command'))
        order by ended_at desc limit 1) as last_succeeded,
       (select max(started_at) from nights where status = 'running') as open_since
