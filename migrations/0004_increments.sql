-- How far each table of the incremental stage is copied.
create table nightferry.increments (
    schema_name text not null,
    table_name text not null,
    -- The columns of the key, or the cursor. A bound is of no use for another one.
    key_columns text[] not null,
    -- Which table of which source, and which table here: a bound says nothing of another one.
    source text not null,
    warehouse_oid bigint not null,
    -- Every row up to here that the source will ever commit is here. Null: nothing is known yet.
    settled text[],
    settled_at timestamptz,
    -- The greatest key that was copied.
    copied_to text[],
    copied_at timestamptz,
    run_id text,
    -- The source's columns as they were then, by number: tells a renamed column from a dropped and an added one.
    source_columns jsonb,
    primary key (schema_name, table_name)
);

-- Bounds that are copied but not settled: each is, once what was under way when it was read has ended.
create table nightferry.bounds (
    schema_name text not null,
    table_name text not null,
    bound text[] not null,
    read_at timestamptz not null,
    -- The source's transactions and sessions of that moment that may still commit a row below the bound.
    transactions text[] not null,
    sessions int[] not null,
    server_started text not null,
    -- Whether transactions that were prepared in the meantime are among them.
    prepared_listed boolean not null,
    primary key (schema_name, table_name, read_at),
    foreign key (schema_name, table_name) references nightferry.increments on delete cascade
);
