-- What happens in a warehouse, as its server sees it: every writing transaction of the product with its session's name, when it wrote first, and
-- when it was committed. Run by a superuser on a database that the product has not touched yet.
--
-- A place is also a gate: whoever comes to one that the test holds waits there.
create schema witness;
grant usage on schema witness to public;
-- One clock for all sessions.
create sequence witness.moments;
create table witness.writes (
    moment bigint not null default nextval('witness.moments'),
    at timestamptz not null default clock_timestamp(),
    xid xid8 not null default pg_current_xact_id(),
    pid int not null default pg_backend_pid(),
    session text not null default current_setting('application_name'),
    place text not null,
    -- Of the ledger's row, where the session's name says nothing.
    run_id text,
    stage text,
    attempt int
);
create table witness.commits (
    xid xid8 primary key,
    moment bigint not null default nextval('witness.moments'),
    at timestamptz not null default clock_timestamp()
);

create function witness.gate(place text) returns void language plpgsql security definer as $$
begin
    if current_setting('application_name') like 'nightferry%' then
        perform pg_advisory_lock_shared(77, hashtext(place));
        perform pg_advisory_unlock_shared(77, hashtext(place));
    end if;
end $$;

-- Called by the copied tables' own check constraints and index expressions, and by an enrichment file.
create function witness.seen(place text) returns void language plpgsql security definer as $$
begin
    perform witness.gate(place);
    if current_setting('application_name') like 'nightferry%' then
        insert into witness.writes (place) values (place);
    end if;
end $$;

create function witness.committed() returns trigger language plpgsql security definer as $$
begin
    insert into witness.commits (xid) values (new.xid)
        on conflict (xid) do update set moment = excluded.moment, at = excluded.at;
    return null;
end $$;
create constraint trigger committed after insert on witness.writes deferrable initially deferred
    for each row execute function witness.committed();

create function witness.ledger() returns trigger language plpgsql security definer as $$
declare
    -- A row of another run may be closed by whoever finds it open; a row of one's own is made by oneself.
    is_own boolean := tg_op = 'INSERT' and tg_table_name in ('stages', 'steps', 'tables');
    -- The last words of a stage that has lost its lock come over a session without a name.
    is_last_word boolean := current_setting('application_name') = 'nightferry' and tg_table_name in ('runs', 'stages', 'steps');
    written jsonb := to_jsonb(new);
begin
    -- Which nights are due, and who was told of one, is written beside the nights.
    if tg_table_name in ('schedules', 'deliveries') then
        return new;
    end if;
    perform witness.gate(concat_ws(' ', written->>'stage', written->>'step', tg_table_name, lower(tg_op)));
    insert into witness.writes (place, run_id, stage, attempt) values (
        'ledger ' || tg_table_name,
        case when is_own or is_last_word then written->>'run_id' end,
        case when is_own then written->>'stage' end,
        case when is_own then (written->>'attempt')::int end);
    return new;
end $$;

-- Commands that found nothing to do (IF NOT EXISTS) are in neither list.
create function witness.command() returns event_trigger language plpgsql security definer as $$
begin
    if current_setting('application_name') like 'nightferry%' and exists (select from pg_event_trigger_ddl_commands()) then
        insert into witness.writes (place) values (tg_tag);
    end if;
end $$;
create event trigger witness_command on ddl_command_end execute function witness.command();
create function witness.dropped() returns event_trigger language plpgsql security definer as $$
begin
    if current_setting('application_name') like 'nightferry%' then
        insert into witness.writes (place) values (tg_tag);
    end if;
end $$;
create event trigger witness_dropped on sql_drop execute function witness.dropped();

-- The ledger's tables are watched as soon as they are there.
create function witness.table_made() returns event_trigger language plpgsql security definer as $$
declare
    made record;
begin
    for made in
        select objid::regclass as name from pg_event_trigger_ddl_commands()
        where command_tag = 'CREATE TABLE' and schema_name = 'nightferry' and object_identity !~ '_sqlx_migrations'
    loop
        execute format('create trigger witness before insert or update on %s for each row execute function witness.ledger()', made.name);
    end loop;
end $$;
create event trigger witness_table_made on ddl_command_end when tag in ('CREATE TABLE') execute function witness.table_made();

-- The transactions that were committed, and whose they were.
create view witness.transactions as
    select w.xid, min(w.pid) as pid, min(w.session) as session, min(w.moment) as first, c.moment as last, min(w.at) as first_at, c.at as last_at,
           coalesce(substring(min(w.session) from '^nightferry (\d{8}T\d{6}Z\S*)'), min(w.run_id)) as run_id,
           coalesce(substring(min(w.session) from '^nightferry \d{8}T\d{6}Z\S* (\S+)'), min(w.stage)) as stage,
           coalesce(substring(min(w.session) from '^nightferry \d{8}T\d{6}Z\S* \S+ (\d+)$')::int, min(w.attempt)) as attempt,
           string_agg(distinct w.place, ', ') as places
    from witness.writes w join witness.commits c using (xid)
    group by w.xid, c.moment, c.at;

-- Two attempts whose writing transactions overlap in time, or come in turns. Nobody must ever be in here.
create view witness.two_writers as
    with attempts as (
        select run_id, stage, attempt, min(first) as first, max(last) as last, min(first_at) as first_at, max(last_at) as last_at
        from witness.transactions where attempt is not null group by 1, 2, 3)
    select a.run_id, a.stage, a.attempt, a.first_at, a.last_at,
           b.run_id as other_run, b.stage as other_stage, b.attempt as other_attempt, b.first_at as other_first_at, b.last_at as other_last_at
    from attempts a join attempts b on a.first < b.first and b.first < a.last;

-- Two nights of which one wrote before the other had ended.
create view witness.two_nights as
    with runs as (
        select run_id, min(first) as first, max(last) as last from witness.transactions
        where run_id ~ '^\d{8}T\d{6}Z$' group by 1)
    select a.run_id, b.run_id as other_run from runs a join runs b on a.first < b.first and b.first < a.last;
