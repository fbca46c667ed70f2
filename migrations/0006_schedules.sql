-- One entry per schedule: since when it is kept with this pattern, and up to which of its times nothing is to be made up for.
create table nightferry.schedules (
    stage text primary key,
    pattern text not null,
    timezone text not null,
    since timestamptz not null,
    last_tick timestamptz
);
