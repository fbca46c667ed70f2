-- The ledger: what nightferry did to this warehouse. It lives in schema nightferry, beside the replicated schemas, and survives every night.

-- One row: the mark that this warehouse is known, and whose copy it holds.
create table nightferry.warehouse (
    only_row boolean primary key default true check (only_row),
    warehouse_id uuid not null default gen_random_uuid(),
    adopted_at timestamptz not null default now()
);

create table nightferry.runs (
    run_id text primary key,
    origin text not null check (origin in ('schedule', 'command', 'restart')),
    host text not null,
    version text not null,
    status text not null default 'running' check (status in ('running', 'succeeded', 'failed', 'interrupted')),
    started_at timestamptz not null default now(),
    ended_at timestamptz,
    error_kind text,
    error text,
    hint text
);

-- A stage may run several times in a run: each try is an attempt.
create table nightferry.stages (
    run_id text not null references nightferry.runs on delete cascade,
    stage text not null,
    attempt int not null,
    status text not null default 'running' check (status in ('running', 'succeeded', 'failed', 'interrupted')),
    started_at timestamptz not null default now(),
    ended_at timestamptz,
    error_kind text,
    error text,
    hint text,
    primary key (run_id, stage, attempt)
);

create table nightferry.steps (
    step_id bigint generated always as identity primary key,
    run_id text not null,
    stage text not null,
    attempt int not null,
    step text not null,
    status text not null default 'running' check (status in ('running', 'succeeded', 'failed', 'interrupted')),
    started_at timestamptz not null default now(),
    ended_at timestamptz,
    foreign key (run_id, stage, attempt) references nightferry.stages on delete cascade
);

-- What became of each table in a stage.
create table nightferry.tables (
    run_id text not null,
    stage text not null,
    attempt int not null,
    schema_name text not null,
    table_name text not null,
    treatment text not null,
    rows_written bigint not null,
    bytes bigint not null,
    duration_ms bigint not null,
    primary key (run_id, stage, attempt, schema_name, table_name),
    foreign key (run_id, stage, attempt) references nightferry.stages on delete cascade
);

-- What was left out or could not come back, with the reason and the definition where there is one.
create table nightferry.skipped (
    skipped_id bigint generated always as identity primary key,
    run_id text not null,
    stage text not null,
    attempt int not null,
    object text not null,
    reason text not null,
    definition text,
    foreign key (run_id, stage, attempt) references nightferry.stages on delete cascade
);

-- One complete copy of the replicated schemas.
create table nightferry.generations (
    generation_id bigint generated always as identity primary key,
    run_id text not null references nightferry.runs,
    mode text not null check (mode in ('in_place', 'swap')),
    state text not null check (state in ('next', 'live', 'previous', 'dropped')),
    created_at timestamptz not null default now(),
    published_at timestamptz
);

-- What a generation brought: the only objects that a later night may replace.
create table nightferry.generation_objects (
    generation_id bigint not null references nightferry.generations on delete cascade,
    kind text not null,
    schema_name text not null,
    object_name text not null,
    identity text not null,
    primary key (generation_id, kind, identity)
);

-- What an operator said of tables that were there before nightferry: `kept` is never touched, `replaced` may be.
create table nightferry.adopted (
    schema_name text not null,
    table_name text not null,
    disposition text not null check (disposition in ('kept', 'replaced')),
    adopted_at timestamptz not null default now(),
    primary key (schema_name, table_name)
);

create index steps_of_a_stage on nightferry.steps (run_id, stage, attempt);
create index skipped_of_a_stage on nightferry.skipped (run_id, stage, attempt);
create unique index one_live_generation on nightferry.generations (state) where state = 'live';
