-- The backup that an attempt of a full stage read, where it read one.
create table nightferry.source_backups (
    run_id text not null,
    stage text not null,
    attempt int not null,
    source text not null, -- scalingo, s3, url, path
    name text not null,
    taken_at timestamptz,
    bytes bigint, -- as the provider has it
    archive_bytes bigint not null, -- as pg_restore reads it
    was_kept boolean not null, -- from an earlier try: not downloaded again
    duration_ms bigint not null,
    primary key (run_id, stage, attempt),
    foreign key (run_id, stage, attempt) references nightferry.stages on delete cascade
);

-- The backups that were pushed. One that was removed, to keep as many as were asked for, says when.
create table nightferry.pushed_backups (
    bucket text not null,
    name text not null,
    run_id text references nightferry.runs on delete set null,
    taken_at timestamptz not null,
    bytes bigint not null,
    sha256 text not null,
    is_encrypted boolean not null,
    verified_at timestamptz not null default now(),
    removed_at timestamptz,
    primary key (bucket, name)
);
