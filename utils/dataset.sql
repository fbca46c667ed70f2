-- A source shaped like a learning platform's, for benchmarks: utils/benchmark.sh makes it. psql -v scale=1 -f utils/dataset.sql URL
-- scale=1: 300,000 users, 600,000 assessments, 3.0 M answers, 3.6 M knowledge elements, 40,000 snapshots of 3 kB jsonb,
-- 35 small tables: about 1.07 GB of tables, 1.37 GB with indexes.
\set ON_ERROR_STOP on
\if :{?scale}
\else
\set scale 1
\endif
select (300000 * :scale)::bigint as users, (600000 * :scale)::bigint as assessments, (3000000 * :scale)::bigint as answers,
       (3600000 * :scale)::bigint as kes, (40000 * :scale)::bigint as snapshots \gset
set synchronous_commit = off;
create table users(id serial primary key, email varchar(255) unique, "firstName" varchar(255) not null,
  "lastName" varchar(255) not null, "createdAt" timestamptz not null default now(),
  "updatedAt" timestamptz not null default now(), cgu boolean, lang text);
insert into users(email, "firstName", "lastName", "createdAt", cgu, lang)
  select 'u'||g||'@example.net', 'First'||(g%1000), 'Last'||(g%5000), timestamptz '2020-01-01' + g*interval '1 minute', true, 'fr'
  from generate_series(1::bigint, :users) g;
create table assessments(id serial primary key, "userId" int references users(id), type text not null, state text,
  "createdAt" timestamptz not null default now(), "updatedAt" timestamptz not null default now());
insert into assessments("userId", type, state, "createdAt")
  select 1+(g*7919)%:users, 'COMPETENCE_EVALUATION', 'completed', timestamptz '2020-01-01' + g*interval '30 second'
  from generate_series(1::bigint, :assessments) g;
create index assessments_userid_index on assessments("userId");
create table answers(id bigserial primary key, value text, result varchar(255), "assessmentId" int references assessments(id),
  "challengeId" varchar(255), "createdAt" timestamptz not null default now(), "updatedAt" timestamptz not null default now(),
  timeout int, "resultDetails" text, "timeSpent" int);
insert into answers(value, result, "assessmentId", "challengeId", "createdAt", "timeSpent", "resultDetails")
  select 'answer value '||(g%97)||' lorem ipsum', case when g%3=0 then 'ok' else 'ko' end, 1+(g*31)%:assessments,
    'rec'||md5((g%5000)::text), timestamptz '2020-01-01' + g*interval '3 second', g%300, 'details: '||(g%11)
  from generate_series(1::bigint, :answers) g;
create index answers_assessmentid_index on answers("assessmentId");
create table "knowledge-elements"(id bigserial primary key, source varchar(255), status varchar(255),
  "createdAt" timestamptz not null default now(), "answerId" bigint references answers(id),
  "assessmentId" int references assessments(id), "skillId" varchar(255), "earnedPix" real not null default 0,
  "userId" int references users(id), "competenceId" varchar(255));
insert into "knowledge-elements"(source, status, "createdAt", "answerId", "assessmentId", "skillId", "earnedPix", "userId", "competenceId")
  select case when g%2=0 then 'direct' else 'inferred' end, 'validated', timestamptz '2020-01-01' + g*interval '2 second',
    1+(g*17)%:answers, 1+(g*31)%:assessments, 'skill'||md5((g%3000)::text), (g%800)/100.0, 1+(g*7919)%:users, 'competence'||(g%16)
  from generate_series(1::bigint, :kes) g;
create index knowledge_elements_userid_index on "knowledge-elements"("userId");
create index "knowledge-elements_assessmentId_idx" on "knowledge-elements"("assessmentId");
create table "knowledge-element-snapshots"(id serial primary key, "userId" int not null references users(id),
  "snappedAt" timestamptz not null, snapshot jsonb not null, unique("userId", "snappedAt"));
insert into "knowledge-element-snapshots"("userId", "snappedAt", snapshot)
  select 1+(g*13)%:users, timestamptz '2020-01-01' + g*interval '5 minute',
    (select jsonb_agg(jsonb_build_object('skillId', 'rec'||md5((g*i)::text), 'status', 'validated', 'earnedPix', (g*i)%8,
       'createdAt', timestamptz '2020-01-01' + g*interval '1 second')) from generate_series(1, 30) i)
  from generate_series(1::bigint, :snapshots) g;
create table "organization-learners"(id serial primary key, "userId" int references users(id));
do $$ begin for i in 1..35 loop
  execute format('create table small_%s(id serial primary key, name text, "createdAt" timestamptz default now(), "userId" int references users(id))', i);
  execute format('insert into small_%s(name, "userId") select ''n''||g, 1+g%%1000 from generate_series(1, 2000) g', i);
end loop; end $$;
