-- Where the generations are that readers do not see: the schemas of the next one, and of the previous one. A live
-- generation has none here, since its schemas have their own names.
create table nightferry.stored_schemas (
    stored_as text primary key,
    generation_id bigint not null references nightferry.generations on delete cascade,
    schema_name text not null,
    -- Whether the schema is replicated; if not, it holds only what leans on the copy from there (a view of analysts).
    is_replicated boolean not null
);

-- Whether its objects change schemas when it changes places with another, since the schemas cannot be renamed.
alter table nightferry.generations add column moves_objects boolean not null default false;

-- What was there before nightferry came becomes a previous generation too, of no run.
alter table nightferry.generations alter column run_id drop not null;
