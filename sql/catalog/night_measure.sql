-- The nights in numbers. What a night is, and a good one, nightferry.run_history says. Of those that a restart took up the copy is not in
-- the same run: how long they took tells nothing of a whole one.
with nights as (
    select run_id, status, is_night, started_at, ended_at, ended_well, extract(epoch from worked)::float8 as seconds,
        'full-replication' = any (succeeded_stages) as has_copy
    from nightferry.run_history
    where is_night or ended_well is not null
), good as (
    select seconds, ended_at from nights where ended_well and has_copy order by ended_at desc limit 7
), open as (
    select run_id, started_at from nights where is_night and status = 'running' order by started_at desc limit 1
)
select (select seconds from good order by ended_at desc limit 1) as last_seconds,
       (select percentile_cont(0.5) within group (order by seconds) from good) as usual_seconds,
       (select ended_well from nights where ended_well is not null order by ended_at desc limit 1) as last_succeeded,
       -- As if nobody had failed or waited: before the last attempt there were those that ended well, and nothing else. So it can be held
       -- against the time that others worked.
       (select coalesce((
            select last.started_at - coalesce((
                select sum(stages.ended_at - stages.started_at)
                from nightferry.stages
                where stages.run_id = open.run_id and stages.status = 'succeeded' and stages.started_at < last.started_at), interval '0')
            from nightferry.stages as last
            where last.run_id = open.run_id
            order by last.started_at desc
            limit 1), open.started_at)
        from open) as open_since
