-- A learning platform's database, generated: psql -v scale=1 -f source.sql "$SOURCE_DATABASE_URL"
-- scale=1 (the default): 50 tables in 4 schemas, about 540,000 rows, 100 MB with indexes.
-- It has every shape that nightferry carries, look-alike names, and two things that it does not carry.
-- Needs PostgreSQL 12 or later and a role that owns the database. The same scale always gives the same rows.
\set ON_ERROR_STOP on
\if :{?scale}
\else
\set scale 1
\endif
select (40000 * :scale)::bigint as users, (60000 * :scale)::bigint as assessments, (150000 * :scale)::bigint as answers,
       (160000 * :scale)::bigint as elements, (3000 * :scale)::bigint as snapshots, (30000 * :scale)::bigint as learners,
       (20000 * :scale)::bigint as logins, (12000 * :scale)::bigint as events, (6000 * :scale)::bigint as courses \gset
set synchronous_commit = off;
set client_min_messages = error;
set timezone = 'UTC';

create schema certification;
create schema "archive-2019";
create schema "Été & co";
comment on schema certification is 'Exam sessions, their candidates and their marks';

-- Types and functions -------------------------------------------------------------------------------------------------

create type assessment_state as enum ('started', 'completed', 'aborted', 'endedBySupervisor');
create type "answer result" as enum ('ok', 'ko', 'aband', 'timedout', 'partially, "so to say"');
create type postal_address as (street text, city text, "postal code" varchar(10));
create type score_range as range (subtype = integer);
create domain email_address as varchar(255) check (value ~ '^[^@[:space:]]+@[^@[:space:]]+$');
create domain pix_score as numeric(6, 2) default 0 not null check (value between 0 and 1024);
create type certification.verdict as enum ('validated', 'rejected', 'error', 'cancelled');
comment on type assessment_state is 'Where an assessment stands';
comment on domain pix_score is 'Earned pix; never more than 1024';

create function full_name(first text, last text) returns text language sql immutable as $$ select first || ' ' || last $$;
create function full_name(first text, middle text, last text) returns text language sql immutable
  as $$ select first || ' ' || middle || ' ' || last $$;
create function is_even(number bigint) returns boolean language sql immutable as $$ select number % 2 = 0 $$;
create function campaign_code() returns text language plpgsql as $body$
begin
  -- A dollar-quoted body with what a careless reader trips over: 'quotes'; semicolons; and -- dashes.
  return 'CODE' || to_char(clock_timestamp(), 'SSMS') || ';''';
end $body$;
create function "touch updatedAt"() returns trigger language plpgsql as $$
begin new."updatedAt" := now(); return new; end $$;
create function refuse_negative() returns trigger language plpgsql as $$
begin
  if new."earnedPix" < 0 then raise exception 'negative pix'; end if;
  return new;
end $$;
create procedure certification.publish_session(session_id integer) language plpgsql as $$
begin update certification.sessions set "publishedAt" = now() where id = session_id; end $$;
create procedure certification.publish_session(code text) language plpgsql as $$
begin update certification.sessions set "publishedAt" = now() where "accessCode" = code; end $$;
comment on function full_name(text, text) is 'As certificates print it';

-- People and organizations --------------------------------------------------------------------------------------------

create table users (
  id serial primary key, email email_address unique, "firstName" varchar(255) not null, "lastName" varchar(255) not null,
  "fullName" text generated always as ("firstName" || ' ' || "lastName") stored,
  address postal_address, lang text not null default 'fr', cgu boolean not null default false,
  "createdAt" timestamptz not null default now(), "updatedAt" timestamptz not null default now());
insert into users (email, "firstName", "lastName", address, lang, cgu, "createdAt", "updatedAt")
  select 'user' || g || '@example.net', 'First' || (g % 997), case when g % 500 = 0 then E'O''Brien\t"Éloïse"\\' || g else 'Last' || (g % 4999) end,
         case when g % 3 = 0 then row(g || ', rue de l''École', 'Évry, "centre"', '9100' || (g % 10))::postal_address end,
         (array['fr', 'en', 'nl', 'es'])[1 + g % 4], g % 7 <> 0,
         timestamptz '2020-01-01' + g * interval '37 minutes', timestamptz '2020-01-02' + g * interval '41 minutes'
  from generate_series(1, :users) g;
create index "users_lower_lastName" on users (lower("lastName"), "firstName");
create index users_not_cgu on users (id) where not cgu;
create index users_full on users (full_name("firstName", "lastName"));
create statistics users_lang_cgu (dependencies) on lang, cgu from users;
comment on table users is 'Everybody who has an account; it''s the biggest "small" table';
comment on column users."fullName" is E'Generated.\nNever written by the application.';
comment on index users_not_cgu is 'Those who still have to accept';

create table "authentication-methods" (
  id bigint generated always as identity primary key, "userId" integer not null references users on delete cascade,
  "identityProvider" text not null, "externalIdentifier" text, "authenticationComplement" jsonb,
  unique ("identityProvider", "userId"));
insert into "authentication-methods" ("userId", "identityProvider", "authenticationComplement")
  select g, case when g % 5 = 0 then 'GAR' else 'PIX' end, jsonb_build_object('shouldChangePassword', g % 11 = 0, 'note', 'é, "x"')
  from generate_series(1, :users / 8) g;
create table "user-logins" (
  id integer generated by default as identity (start with 1000 increment by 5) primary key,
  "userId" integer not null unique references users, "failureCount" smallint not null default 0,
  "temporaryBlockedUntil" timestamptz, "lastLoggedAt" timestamptz);
insert into "user-logins" ("userId", "failureCount", "lastLoggedAt")
  select g, g % 4, timestamptz '2024-01-01' + g * interval '1 minute' from generate_series(1, :users / 8) g;

create table organizations (
  id serial primary key, name text not null, type text not null check (type in ('SCO', 'SUP', 'PRO')),
  "parentOrganizationId" integer references organizations, credit integer not null default 0,
  "isManagingStudents" boolean not null default false, logo bytea, tags text[], "createdAt" timestamptz not null default now());
insert into organizations (name, type, "parentOrganizationId", logo, tags, "createdAt")
  select 'Lycée n° ' || g, (array['SCO', 'SUP', 'PRO'])[1 + g % 3], case when g > 10 then 1 + g % 10 end,
         case when g % 50 = 0 then decode(md5(g::text) || '00ff5c0a', 'hex') end,
         case when g % 4 = 0 then array['a,b', '', '{"x"}', 'back\slash'] when g % 4 = 1 then '{}' end,
         timestamptz '2019-06-01' + g * interval '1 hour'
  from generate_series(1, 2000) g;
alter table organizations enable row level security;
create policy everybody_reads on organizations for select to public using (true);
comment on policy everybody_reads on organizations is 'Nothing is hidden here';
create table tags (id serial primary key, name text not null unique);
insert into tags (name) select 'tag ' || g from generate_series(1, 60) g;
create table "organization-tags" (
  "organizationId" integer not null references organizations, "tagId" integer not null references tags,
  primary key ("organizationId", "tagId"));
insert into "organization-tags" select g, 1 + (g * 7) % 60 from generate_series(1, 2000) g;
create table memberships (
  id serial primary key, "userId" integer not null references users, "organizationId" integer not null references organizations,
  "organizationRole" text not null default 'MEMBER', "disabledAt" timestamptz);
insert into memberships ("userId", "organizationId") select 1 + g % :users, 1 + g % 2000 from generate_series(1, 3000) g;
create unique index memberships_active on memberships ("userId", "organizationId") where "disabledAt" is null;
create table "organization-learners" (
  id serial primary key, "userId" integer references users, "organizationId" integer not null references organizations,
  "firstName" text not null, "lastName" text not null, birthdate date, division varchar(255), "isDisabled" boolean not null default false,
  attributes jsonb, "createdAt" timestamptz not null default now(), "updatedAt" timestamptz not null default now());
insert into "organization-learners" ("userId", "organizationId", "firstName", "lastName", birthdate, division, "createdAt", "updatedAt")
  select case when g % 3 <> 0 then 1 + g % :users end, 1 + g % 2000, 'First' || (g % 997), 'Last' || (g % 4999),
         date '2000-01-01' + (g % 6000)::int, (3 + g % 4) || 'ème', timestamptz '2021-09-01' + g * interval '1 minute', timestamptz '2021-09-02'
  from generate_series(1, :learners) g;
create index on "organization-learners" ("organizationId");
create trigger "learners touch" before update on "organization-learners" for each row execute function "touch updatedAt"();
comment on trigger "learners touch" on "organization-learners" is 'Keeps updatedAt true';

-- Campaigns and trainings ---------------------------------------------------------------------------------------------

create table "target-profiles" (
  id serial primary key, name text not null, "ownerOrganizationId" integer references organizations, outdated boolean not null default false,
  levels score_range, "createdAt" timestamptz not null default now());
insert into "target-profiles" (name, "ownerOrganizationId", levels, "createdAt")
  select 'Profil ' || g, 1 + g % 2000, score_range(g % 3, 4 + g % 4), timestamptz '2021-01-01' + g * interval '1 day' from generate_series(1, 300) g;
create table "target-profile-shares" (
  "targetProfileId" integer references "target-profiles", "organizationId" integer references organizations,
  primary key ("targetProfileId", "organizationId"));
insert into "target-profile-shares" select 1 + g % 300, 1 + g from generate_series(1, 1500) g;
create table campaigns (
  id serial primary key, code text not null default campaign_code() unique, title text, type text not null default 'ASSESSMENT',
  "organizationId" integer not null references organizations, "creatorId" integer references users,
  "targetProfileId" integer references "target-profiles", "createdAt" timestamptz not null default now(), "archivedAt" timestamptz);
insert into campaigns (code, title, "organizationId", "creatorId", "targetProfileId", "createdAt")
  select 'C' || lpad(g::text, 8, '0'), 'Campagne "' || g || '"', 1 + g % 2000, 1 + g % :users, 1 + g % 300, timestamptz '2022-01-01' + g * interval '1 hour'
  from generate_series(1, 1500) g;
create table "campaign-participations" (
  id serial primary key, "campaignId" integer not null references campaigns, "userId" integer not null references users,
  "organizationLearnerId" integer references "organization-learners", status text not null, "masteryRate" numeric(5, 4),
  "pixScore" pix_score, "createdAt" timestamptz not null default now(), "sharedAt" timestamptz);
insert into "campaign-participations" ("campaignId", "userId", "organizationLearnerId", status, "masteryRate", "pixScore", "createdAt")
  select 1 + g % 1500, 1 + g % :users, 1 + g % :learners, (array['STARTED', 'TO_SHARE', 'SHARED'])[1 + g % 3], (g % 10000) / 10000.0, (g % 1000) + 0.25,
         timestamptz '2022-02-01' + g * interval '3 minutes'
  from generate_series(1, :users / 4) g;
alter table campaigns add column "lastParticipationId" integer references "campaign-participations" deferrable initially deferred;
update campaigns set "lastParticipationId" = id where id % 10 = 0;
create table badges (
  id integer generated always as identity primary key, key text not null, title text, "targetProfileId" integer references "target-profiles",
  message text, "isCertifiable" boolean not null default false);
insert into badges (key, title, "targetProfileId") select 'BADGE_' || g, 'Badge ' || g, 1 + g % 300 from generate_series(1, 200) g;
create table "badge-criteria" (
  id serial primary key, scope text, threshold smallint check (threshold between 0 and 100), "badgeId" integer not null references badges on delete cascade);
insert into "badge-criteria" (scope, threshold, "badgeId") select 'CampaignParticipation', g % 101, 1 + g % 200 from generate_series(1, 400) g;
create table "badge-acquisitions" (
  "userId" integer not null references users, "badgeId" integer not null references badges,
  "campaignParticipationId" integer references "campaign-participations", "createdAt" timestamptz not null default now());
insert into "badge-acquisitions" select 1 + g % :users, 1 + g % 200, 1 + g % (:users / 4), timestamptz '2022-03-01' + g * interval '1 minute'
  from generate_series(1, 4000) g;
alter table "badge-acquisitions" add constraint "one badge, once" unique ("userId", "badgeId", "campaignParticipationId");
comment on constraint "one badge, once" on "badge-acquisitions" is 'A participation earns a badge once';
create table trainings (id serial primary key, title text not null, link text, duration interval, locale text, "editorName" text);
insert into trainings (title, link, duration, locale) select 'Parcours ' || g, 'https://example.net/' || g, g * interval '5 minutes', 'fr-fr' from generate_series(1, 250) g;
create table "training-triggers" (id serial primary key, "trainingId" integer references trainings, type text, threshold smallint);
insert into "training-triggers" ("trainingId", type, threshold) select 1 + g % 250, 'prerequisite', g % 100 from generate_series(1, 500) g;
create table "user-recommended-trainings" (
  id bigserial primary key, "userId" integer references users, "trainingId" integer references trainings, "campaignParticipationId" integer);
insert into "user-recommended-trainings" ("userId", "trainingId", "campaignParticipationId")
  select 1 + g % :users, 1 + g % 250, g from generate_series(1, 3000) g;
create table feedbacks (
  id serial primary key, content text, "assessmentId" integer, category varchar(255), answer text, "createdAt" timestamptz not null default now());
insert into feedbacks (content, category, answer, "createdAt")
  select case g % 4 when 0 then E'two\nlines' when 1 then E'\\.' when 2 then '\N' else 'tab	here' end, 'other', repeat('x', (g % 3000)::int),
         timestamptz '2023-01-01' + g * interval '1 hour' from generate_series(1, 800) g;
-- pg_dump orders these two: each has a key to the other.
create table "stages" (id serial primary key, "targetProfileId" integer references "target-profiles", "firstCollectionId" integer, level smallint);
create table "stage-collections" (id serial primary key, "firstStageId" integer references "stages", name text);
insert into "stages" ("targetProfileId", level) select 1 + g % 300, g % 8 from generate_series(1, 600) g;
insert into "stage-collections" ("firstStageId", name) select g, 'Paliers ' || g from generate_series(1, 300) g;
update "stages" set "firstCollectionId" = 1 + id % 300;
alter table "stages" add foreign key ("firstCollectionId") references "stage-collections" (id);

-- Assessments: the big tables -----------------------------------------------------------------------------------------

create table assessments (
  id serial primary key, "userId" integer references users, type text not null, state assessment_state not null default 'started',
  "campaignParticipationId" integer references "campaign-participations", "createdAt" timestamptz not null default now(),
  "updatedAt" timestamptz not null default now(), history assessment_state[]);
insert into assessments ("userId", type, state, "campaignParticipationId", "createdAt", "updatedAt", history)
  select 1 + (g * 7919) % :users, case when g % 3 = 0 then 'CAMPAIGN' else 'COMPETENCE_EVALUATION' end,
         (enum_range(null::assessment_state))[1 + g % 4], case when g % 3 = 0 then 1 + g % (:users / 4) end,
         timestamptz '2020-01-01' + g * interval '30 seconds', timestamptz '2020-01-01' + g * interval '31 seconds',
         case when g % 5 = 0 then array['started', 'completed']::assessment_state[] end
  from generate_series(1, :assessments) g;
create index assessments_userid_index on assessments ("userId");
create trigger "assessments touch" before update on assessments for each row when (old.state is distinct from new.state)
  execute function "touch updatedAt"();
create table answers (
  id bigserial primary key, value text, result "answer result", "assessmentId" integer references assessments, "challengeId" varchar(255),
  "createdAt" timestamptz not null default now(), "updatedAt" timestamptz not null default now(), timeout integer, "resultDetails" text,
  "timeSpent" integer, "isFocusedOut" boolean not null default false);
insert into answers (value, result, "assessmentId", "challengeId", "createdAt", "updatedAt", "timeSpent", "resultDetails")
  select 'answer ' || (g % 97) || ', with "quotes"', (enum_range(null::"answer result"))[1 + g % 5], 1 + (g * 31) % :assessments,
         'challenge' || lpad((g % 300)::text, 3, '0'), timestamptz '2020-01-01' + g * interval '3 seconds', timestamptz '2020-01-01' + g * interval '3 seconds',
         g % 300, case when g % 9 = 0 then 'details: ' || (g % 11) end
  from generate_series(1, :answers) g;
create index answers_assessmentid_index on answers ("assessmentId");
create table "knowledge-elements" (
  id bigserial primary key, source varchar(255), status varchar(255), "createdAt" timestamptz not null default now(),
  "answerId" bigint references answers, "assessmentId" integer references assessments, "skillId" varchar(255),
  "earnedPix" real not null default 0, "userId" integer references users, "competenceId" varchar(255));
insert into "knowledge-elements" (source, status, "createdAt", "answerId", "assessmentId", "skillId", "earnedPix", "userId", "competenceId")
  select case when is_even(g) then 'direct' else 'inferred' end, 'validated', timestamptz '2020-01-01' + g * interval '2 seconds',
         1 + (g * 17) % :answers, 1 + (g * 31) % :assessments, 'skill' || lpad((g % 120)::text, 3, '0'), (g % 800) / 100.0, 1 + (g * 7919) % :users,
         'competence' || lpad((g % 16)::text, 2, '0')
  from generate_series(1, :elements) g;
create index knowledge_elements_userid_index on "knowledge-elements" ("userId") include ("earnedPix");
create index "knowledge elements, by competence" on "knowledge-elements" ("competenceId" desc nulls last, "createdAt");
create trigger "no negative pix" before insert or update on "knowledge-elements" for each row execute function refuse_negative();
create table "knowledge-element-snapshots" (
  id serial primary key, "userId" integer not null references users, "snappedAt" timestamptz not null, snapshot jsonb not null,
  unique ("userId", "snappedAt"));
insert into "knowledge-element-snapshots" ("userId", "snappedAt", snapshot)
  select 1 + (g * 13) % :users, timestamptz '2020-01-01' + g * interval '5 minutes',
         (select jsonb_agg(jsonb_build_object('skillId', 'skill' || (g * i) % 120, 'status', 'validated', 'earnedPix', (g * i) % 8)) from generate_series(1, 15) i)
  from generate_series(1, :snapshots) g;
create index snapshots_gin on "knowledge-element-snapshots" using gin (snapshot jsonb_path_ops);

-- Partitions and inheritance ------------------------------------------------------------------------------------------

create table "authentication-log" (
  id bigint generated by default as identity, "loggedAt" timestamptz not null, "userId" integer references users, address inet,
  primary key (id, "loggedAt")) partition by range ("loggedAt");
create table "authentication-log 2023" partition of "authentication-log" for values from ('2023-01-01 00:00Z') to ('2024-01-01 00:00Z');
create table "authentication-log 2024" partition of "authentication-log" for values from ('2024-01-01 00:00Z') to ('2025-01-01 00:00Z');
create table "authentication-log rest" partition of "authentication-log" default;
insert into "authentication-log" ("loggedAt", "userId", address)
  select timestamptz '2023-01-01' + (g % 1000) * interval '1 day', 1 + g % :users, ('10.' || g % 256 || '.' || (g / 256) % 256 || '.1')::inet
  from generate_series(1, :logins) g;
create index "log by user" on "authentication-log" ("userId", "loggedAt");
create index "only in 2024" on "authentication-log 2024" (address);
create table events (country text not null, id bigint not null, kind text not null, payload jsonb, unique (country, id)) partition by list (country);
create table events_fr partition of events for values in ('fr', 'be');
create table events_other partition of events default partition by hash (id);
create table events_other_0 partition of events_other for values with (modulus 2, remainder 0);
create table events_other_1 partition of events_other for values with (modulus 2, remainder 1);
insert into events select (array['fr', 'be', 'ca', 'sn'])[1 + g % 4], g, 'page.viewed', jsonb_build_object('page', '/' || g % 40) from generate_series(1, :events) g;
create table documents (id serial primary key, title text not null, "createdAt" timestamptz not null default now());
create table invoices (amount numeric(12, 2) not null check (amount >= 0), currency char(3) not null default 'EUR') inherits (documents);
create table contracts (valid tstzrange, signatory text collate "C") inherits (documents);
alter table invoices add primary key (id);
insert into documents (title, "createdAt") select 'Document ' || g, timestamptz '2023-05-01' from generate_series(1, 100) g;
insert into invoices (title, amount, "createdAt") select 'Facture ' || g, g * 12.34, timestamptz '2023-05-02' from generate_series(1, 400) g;
insert into contracts (title, valid, "createdAt")
  select 'Contrat ' || g, tstzrange(timestamptz '2023-01-01' + g * interval '1 day', null), timestamptz '2023-05-03' from generate_series(1, 150) g;

-- Certification -------------------------------------------------------------------------------------------------------

create sequence certification."session code" start 500 increment 3;
create table certification.sessions (
  id serial primary key, "accessCode" text not null default 'S' || nextval('certification."session code"'), "certificationCenter" text not null,
  date date not null, "time" time not null, "publishedAt" timestamptz);
insert into certification.sessions ("certificationCenter", date, "time")
  select 'Centre ' || g % 90, date '2023-01-01' + (g % 700)::int, time '09:00' + (g % 8) * interval '1 hour' from generate_series(1, 1200) g;
create table certification."certification-candidates" (
  id serial primary key, "sessionId" integer not null references certification.sessions, "userId" integer references public.users,
  "firstName" text, "lastName" text, "extraTimePercentage" numeric(3, 2));
insert into certification."certification-candidates" ("sessionId", "userId", "firstName", "extraTimePercentage")
  select 1 + g % 1200, 1 + g % :users, 'First' || g, case when g % 20 = 0 then 0.33 end from generate_series(1, :courses) g;
create table certification."certification-courses" (
  id serial primary key, "userId" integer not null references public.users, "sessionId" integer references certification.sessions,
  "assessmentId" integer references public.assessments, verdict certification.verdict, "pixScore" public.pix_score, "completedAt" timestamptz);
insert into certification."certification-courses" ("userId", "sessionId", "assessmentId", verdict, "pixScore", "completedAt")
  select 1 + g % :users, 1 + g % 1200, 1 + g % :assessments, (enum_range(null::certification.verdict))[1 + g % 4], g % 1024, timestamptz '2023-06-01' + g * interval '1 minute'
  from generate_series(1, :courses) g;
create table certification.marks (
  "courseId" integer references certification."certification-courses" on delete cascade, "competenceId" text, level smallint, score integer,
  primary key ("courseId", "competenceId"));
insert into certification.marks select g, 'competence' || lpad((g % 16)::text, 2, '0'), g % 8, g % 64 from generate_series(1, :courses) g;
create table certification.rooms (
  id integer generated always as identity primary key, name text not null, reserved tsrange not null,
  exclude using gist (reserved with &&) where (name = 'A'));
insert into certification.rooms (name, reserved)
  select case when g % 2 = 0 then 'A' else 'B' end, tsrange(timestamp '2023-01-01' + g * interval '1 day', timestamp '2023-01-01 08:00' + g * interval '1 day')
  from generate_series(1, 300) g;

-- Names that look alike, and odd ones ---------------------------------------------------------------------------------

create table answers_archive (id bigserial primary key, value text);
insert into answers_archive (value) select 'old ' || g from generate_series(1, 500) g;
create index answers_archive_value_index on answers_archive (value);
create table knowledge_elements (id serial primary key, note text);
insert into knowledge_elements (note) select 'not the hyphenated one ' || g from generate_series(1, 50) g;
create table "archive-2019".answers (id bigint primary key, value text, result public."answer result");
insert into "archive-2019".answers select g, 'value ' || g, 'ok' from generate_series(1, 2000) g;
create table "archive-2019".quizzes (id serial primary key, answers integer not null default 3, "knowledge-elements" text default 'two  spaces');
insert into "archive-2019".quizzes (answers) select g % 5 from generate_series(1, 200) g;
create table "Été & co"."Élèves d'été" (
  "identité" serial primary key, "prénom" text, "select" integer, "a ""quoted"" one" text default '--', "Ünïcode 名前" text[]);
insert into "Été & co"."Élèves d'été" ("prénom", "select", "Ünïcode 名前") select 'Zoé ' || g, g, array['名前', 'a,b', null] from generate_series(1, 250) g;
create index "index, d'été" on "Été & co"."Élèves d'été" ("prénom");
create table "Été & co"."two  spaces; and -- dashes" (key text primary key, value text);
insert into "Été & co"."two  spaces; and -- dashes" select 'k' || g, 'v' from generate_series(1, 40) g;
create table settings (
  scope text, key text, value jsonb, allowed int4range, weight double precision, cost numeric, token uuid, network cidr, bits bit(8), body tsvector, place point,
  addresses postal_address[], scores pix_score[], delay interval, at timetz, primary key (scope, key));
insert into settings
  select 'scope' || g % 5, 'key' || g, '{"a": [1, 2.50, null, "é"]}', int4range(g, g + 10), case g % 4 when 0 then 'NaN' when 1 then 'Infinity' else 1.0 / g end,
         case g % 5 when 0 then 'NaN' else g * 1e20 + 0.000001 end, md5(g::text)::uuid, '10.0.0.0/8', (g % 256)::int::bit(8), to_tsvector('simple', 'word' || g),
         point(g, -g / 3.0), array[row('a', 'b"c', null)::postal_address], array[1.5, 2]::pix_score[], g * interval '1 day 3.5 seconds', '12:00:00+02'
  from generate_series(1, 120) g;
create table "never used" (id uuid primary key, "createdAt" timestamptz);

-- Views, rules, comments ----------------------------------------------------------------------------------------------

create view "active learners" as select * from "organization-learners" where not "isDisabled";
create view "active learners with accounts" as
  select l.id, l."organizationId", u.email from "active learners" l join users u on u.id = l."userId";
create view "answers per assessment" as select "assessmentId", count(*) as answers from answers group by "assessmentId";
create view certification."results" as
  select c.id, u."fullName", c.verdict, s.date from certification."certification-courses" c
  join public.users u on u.id = c."userId" left join certification.sessions s on s.id = c."sessionId";
create recursive view organization_tree (id, path) as
  select id, array[id] from organizations where "parentOrganizationId" is null
  union all select o.id, t.path || o.id from organizations o join organization_tree t on o."parentOrganizationId" = t.id;
create materialized view "pix per user" as
  select "userId", sum("earnedPix")::numeric(10, 2) as pix, count(*) as elements from "knowledge-elements" group by "userId";
create unique index on "pix per user" ("userId");
create materialized view "pix per country" as
  select u.lang, sum(p.pix) as pix from "pix per user" p join users u on u.id = p."userId" group by u.lang;
create materialized view "not filled" as select id from users where id < 10 with no data;
create rule "no archive" as on delete to answers_archive do instead nothing;
comment on view "active learners" is 'Those who are still there';
comment on materialized view "pix per user" is 'Refreshed by the application';
comment on column certification.marks.score is 'Before rounding';
create function certification.verdict_of(course integer) returns certification.verdict language sql stable
  as $$ select verdict from certification."certification-courses" where id = course $$;
create function learners_of(organization integer) returns setof "organization-learners" language sql stable
  as $$ select * from "organization-learners" where "organizationId" = organization $$;
create function check_participation() returns trigger language plpgsql as $$ begin return null; end $$;
create constraint trigger "participation is checked" after insert on "campaign-participations" deferrable initially deferred
  for each row execute function check_participation();
create trigger "log is watched" after insert on "authentication-log" for each row execute function check_participation();
alter table "campaign-participations" disable trigger "participation is checked";

-- What is not carried, and what the report says so of -----------------------------------------------------------------

create publication to_nowhere for table users;
select lo_from_bytea(0, 'a large object') \g /dev/null

analyze;
