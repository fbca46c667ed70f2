-- The learning-content tables that nightferry made, with their columns as it made them ("name type"): the only tables
-- whose rows the content stage replaces.
create table nightferry.content_tables (
    schema_name text not null,
    table_name text not null,
    columns text[] not null,
    created_at timestamptz not null default now(),
    primary key (schema_name, table_name)
);

-- Who was told about a run. The endpoint is a hash: its URL may be a secret.
create table nightferry.deliveries (
    run_id text not null references nightferry.runs on delete cascade,
    endpoint_hash text not null,
    delivered_at timestamptz not null default now(),
    primary key (run_id, endpoint_hash)
);
