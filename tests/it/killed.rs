//! nightferry, the source's server and the warehouse's are killed at every point of a night: readers always have a complete copy, the
//! next night ends well, and nothing of the broken one is left.
//!
//! A night is stopped at a point by what anybody could do to it, never by a hook in the product: triggers in the warehouse
//! that wait for an advisory lock of the test, or a lock on something that the night needs at that moment.

use std::collections::BTreeSet;
use std::fs::File;
use std::process::{Child, Stdio};

use nightferry::replication::full::STEPS;
use sqlx::Connection;
use sqlx::postgres::PgConnection;

use crate::support::standing::{assert_unchanged, standing};
use crate::support::{Cluster, TestNight, execute_on, rows_on, until};

/// Points in the middle of the steps, the most telling one of each first. Where nothing else is said, it is a command of the night that has just begun.
const MIDDLES: [(&str, &[&str]); 10] = [
    ("fetch", &[PG_DUMP]),
    // It decides, and neither asks nor writes anything.
    ("guard", &[]),
    ("schema", &["CREATE TABLE", "DROP TABLE", "DROP SCHEMA", "CREATE INDEX"]),
    ("load", &[COPY, TABLE_DONE, "CREATE INDEX"]),
    ("constrain", &["ALTER TABLE"]),
    ("finish", &["CREATE TRIGGER", "CREATE VIEW", "REFRESH MATERIALIZED VIEW", "COMMENT"]),
    ("enrich", &["CREATE TABLE AS"]),
    ("dependents", &["CREATE VIEW", "REFRESH MATERIALIZED VIEW"]),
    ("verify", &["ALTER SCHEMA"]),
    ("publish", &[COMMIT, READER, "ALTER SCHEMA"]),
];

/// Before the row of a step is written to the ledger, and before it is closed.
const START: &str = "start";
const END: &str = "end";
/// pg_dump reads the source's catalog.
const PG_DUMP: &str = "pg_dump";
/// Rows are on their way: the source's server has sent those in front of a long value.
const COPY: &str = "COPY";
/// A table is in, and will be written to the ledger.
const TABLE_DONE: &str = "table done";
/// A reader holds a table that is to be replaced.
const READER: &str = "reader";
/// Everything is done but the end of the transaction that publishes.
const COMMIT: &str = "commit";

/// Where a night is stopped.
#[derive(Debug, Clone, Copy)]
struct Point {
    step: &'static str,
    moment: &'static str,
}

/// Before each step, when the one before it is closed, and at the end of the last one.
fn boundaries() -> Vec<Point> {
    let starts = STEPS.iter().map(|step| Point { step, moment: START });
    starts.chain([Point { step: "publish", moment: END }]).collect()
}

fn middles() -> Vec<Point> {
    MIDDLES.iter().flat_map(|(step, moments)| moments.iter().map(|moment| Point { step, moment })).collect()
}

fn one_of_each_step() -> Vec<Point> {
    MIDDLES
        .iter()
        .flat_map(|(step, moments)| moments.iter().take(1).map(|moment| Point { step, moment }))
        .collect()
}

/// Every table has the number of the night of its rows.
const SOURCE: &str = "
    create table users (id int primary key, night int not null, name text);
    create table orders (id int primary key, user_id int not null references users, night int not null);
    create table notes (id int primary key, night int not null, body text);
    alter table notes alter body set storage external;
    create table answers (id int primary key, user_id int not null);
    create index users_name on users (name);
    create index orders_night on orders (night);
    create sequence numbers;
    create function told() returns trigger language plpgsql as $$ begin return new; end $$;
    create trigger told before update on users for each row execute function told();
    create view per_user as select user_id, min(night) as night, count(*) as n from orders group by user_id;
    create view answered as select a.id, u.night from answers a join users u on u.id = a.user_id;
    create materialized view totals as select night, count(*) as n from orders group by night;
    create unique index totals_night on totals (night);
    comment on table users is 'people';
    comment on index users_name is 'for the search';
    insert into users select g, 0, 'user ' || g from generate_series(1, 20) g;
    insert into orders select g, g % 20 + 1, 0 from generate_series(1, 60) g;
    insert into notes select g, 0, repeat('long ', 2000) from generate_series(1, 5) g;
    insert into answers select g, g from generate_series(1, 10) g;
    refresh materialized view totals;
    select setval('numbers', 7)";

/// What the analysts have in the warehouse, and a row that only the warehouse has.
const WAREHOUSE: &str = "
    create schema bi;
    create view bi.people as select u.id, u.night, o.id as order_id from public.users u join public.orders o on o.user_id = u.id;
    create view bi.of_people as select night, count(*) as n from bi.people group by night;
    create materialized view bi.rollup as select night, count(*) as n from public.orders group by night;
    create index rollup_night on bi.rollup (night);
    create view bi.own as select a.id from public.answers a;
    comment on view bi.people is 'who ordered what';
    grant usage on schema public, bi to pg_monitor;
    grant select on public.users, bi.people to pg_monitor;
    insert into public.answers values (1000, 1)";

const ENRICHMENT: &str =
    "-- needs: users\ncreate table enriched as select night, count(*) as n from users group by night;\n";

/// What a reader sees of a copy: rows, and the first and the last night of each relation.
const SEEN: &str = "
    select 'users', count(*), min(night), max(night) from public.users
    union all select 'orders', count(*), min(night), max(night) from public.orders
    union all select 'notes', count(*), min(night), max(night) from public.notes where length(body) = 10000
    union all select 'per_user', count(*), min(night), max(night) from public.per_user
    union all select 'answered', count(*), min(night), max(night) from public.answered
    union all select 'totals', sum(n), min(night), max(night) from public.totals
    union all select 'enriched', sum(n), min(night), max(night) from public.enriched
    union all select 'people', count(*), min(night), max(night) from bi.people
    union all select 'of_people', sum(n), min(night), max(night) from bi.of_people
    union all select 'rollup', sum(n), min(night), max(night) from bi.rollup
    union all select 'answers', count(*), count(*), max(id) from public.answers
    union all select 'own', count(*), count(*), max(id) from bi.own";

/// What a reader sees of the whole copy of one night.
fn whole(night: u32) -> Vec<String> {
    let rows = [
        ("users", 20),
        ("orders", 60),
        ("notes", 5),
        ("per_user", 20),
        ("answered", 11),
        ("totals", 60),
        ("enriched", 20),
        ("people", 60),
        ("of_people", 60),
        ("rollup", 60),
    ];
    let replaced = rows.iter().map(|(name, rows)| format!("{name}|{rows}|{night}|{night}"));
    replaced.chain(["answers", "own"].map(|name| format!("{name}|11|11|1000"))).collect()
}

/// Where a night of this warehouse waits for the test. Sessions of others pass, and so does everything that the test does not hold.
const GATES: &str = "
    create schema gate;
    grant usage on schema gate to public;
    create function gate.pass(place text) returns void language plpgsql as $$
    begin
        perform pg_advisory_lock_shared(77, hashtext(place));
        perform pg_advisory_unlock_shared(77, hashtext(place));
    end $$;
    create function gate.command() returns event_trigger language plpgsql security definer as $$
    declare
        at text;
    begin
        if current_setting('application_name') like 'nightferry %' then
            select step into at from nightferry.steps where status = 'running' order by step_id desc limit 1;
            perform gate.pass(at || ' ' || tg_tag);
        end if;
    end $$;
    create event trigger gate on ddl_command_start execute function gate.command();
    create function gate.step() returns trigger language plpgsql security definer as $$
    begin
        perform gate.pass(new.step || case when tg_op = 'INSERT' then ' start' else ' end' end);
        return new;
    end $$;
    create trigger gate before insert or update on nightferry.steps for each row execute function gate.step();
    create function gate.place() returns trigger language plpgsql security definer as $$
    begin
        perform gate.pass(tg_argv[0]);
        return new;
    end $$;
    create trigger gate before insert on nightferry.tables for each row execute function gate.place('load table done');
    create constraint trigger gate after update on nightferry.generations deferrable initially deferred
        for each row when (new.state = 'live') execute function gate.place('publish commit')";

/// What is killed.
#[derive(Clone, Copy)]
enum Victim<'a> {
    Nightferry,
    Source(&'a Cluster),
    Warehouse(&'a Cluster),
}

const SETTINGS: [(&str, &str); 2] =
    [("PUBLISH_MODE", "swap"), ("BACKUP_MODE", r#"{"answers":"incremental"}"#)];
const LIVE: [&str; 2] = ["public", "bi"];
const PREVIOUS: [&str; 2] = ["public__previous", "bi__previous"];

/// A warehouse after good nights, and how it looks then.
struct Walk<'a> {
    night: TestNight,
    victim: Victim<'a>,
    /// The number of the last night that the source was given.
    number: u32,
    /// What is so of the schemas that readers use, and of those that are kept, after a good night.
    live: Vec<String>,
    previous: Vec<String>,
}

impl<'a> Walk<'a> {
    async fn new(victim: Victim<'a>) -> Self {
        let sources = if let Victim::Source(own) = victim { own } else { Cluster::of_sources() };
        let warehouses = if let Victim::Warehouse(own) = victim { own } else { Cluster::of_warehouses() };
        let night = TestNight::between(sources, warehouses).await;
        night.source_sql(SOURCE).await;
        std::fs::write(night.path("enrichment/01_enriched.sql"), ENRICHMENT).unwrap();
        night.full(&SETTINGS).await;
        night.warehouse_sql(WAREHOUSE).await;
        night.warehouse_sql_as_superuser(GATES).await;
        let mut walk = Self { night, victim, number: 0, live: Vec::new(), previous: Vec::new() };
        for _ in 0..2 {
            walk.good_night().await;
        }
        walk.live = walk.standing(LIVE).await;
        walk.previous = walk.standing(PREVIOUS).await;
        walk
    }

    async fn standing(&self, schemas: [&str; 2]) -> Vec<String> {
        standing(self.night.warehouse_seen_by_superuser(), &schemas).await
    }

    /// Gives the source rows of another night.
    async fn another_day(&mut self) -> u32 {
        self.number += 1;
        let tables = ["users", "orders", "notes"];
        let update = tables.map(|table| format!("update {table} set night = {}", self.number)).join("; ");
        self.night.source_sql(&update).await;
        self.number
    }

    async fn good_night(&mut self) {
        let number = self.another_day().await;
        self.night.full(&SETTINGS).await;
        assert_eq!(self.night.warehouse.rows(SEEN).await, whole(number));
    }

    /// Kills the victim when the night has come to the point, and looks at what is left of it, at once and after the next night.
    async fn is_survived_at(&mut self, point: Point) {
        let yesterday = self.number;
        let today = self.another_day().await;
        let (mut child, mut held) = self.start_until(point).await;
        match self.victim {
            Victim::Nightferry => child.kill().unwrap(),
            Victim::Source(own) => own.crash(),
            Victim::Warehouse(own) => {
                own.crash();
                own.restart();
            }
        }
        if matches!(self.victim, Victim::Nightferry) {
            child.wait().unwrap();
        }
        // Whoever of the night is still at work in a server goes on now.
        drop(held.take());
        let ended_well = until("nightferry to end", async || child.try_wait().unwrap()).await.success();
        if let Victim::Source(own) = self.victim {
            own.restart();
        }
        let seen = self.night.warehouse.rows(SEEN).await;
        assert!(seen == whole(yesterday) || seen == whole(today), "at once: {seen:#?}");
        self.no_session_is_left().await;
        let is_published = self.is_published(point, ended_well);
        let live = if is_published { today } else { yesterday };
        assert_eq!(self.night.warehouse.rows(SEEN).await, whole(live), "{}", self.log());
        assert_unchanged(&self.live, &self.standing(LIVE).await);

        self.good_night().await;
        self.nothing_is_left().await;
    }

    /// Whether the copy of a night that was broken at this point is live.
    fn is_published(&self, point: Point, ended_well: bool) -> bool {
        match self.victim {
            // The server does to its end what it was told to.
            Victim::Nightferry => point.step == "publish" && [COMMIT, END].contains(&point.moment),
            // Once all rows are here, the source is needed no more.
            Victim::Source(_) => {
                let position = |step| STEPS.iter().position(|name| *name == step);
                let has_all =
                    position(point.step) > position("load") || (point.step, point.moment) == ("load", END);
                assert!(ended_well || !has_all, "{}", self.log());
                ended_well
            }
            Victim::Warehouse(_) => {
                assert!(!ended_well, "{}", self.log());
                (point.step, point.moment) == ("publish", END)
            }
        }
    }

    /// Starts the night, and comes back with what holds it when it has come to the point.
    async fn start_until(&self, point: Point) -> (Child, Option<PgConnection>) {
        let is_copy = point.moment == COPY;
        let gate = if is_copy { Point { moment: START, ..point } } else { point };
        let mut held = self.hold(gate).await;
        let log = File::create(self.night.path("night.log")).unwrap();
        let mut command = self.night.command(&["run", "full-replication"], &SETTINGS);
        command.stdout(Stdio::from(log.try_clone().unwrap())).stderr(Stdio::from(log));
        let mut child = command.spawn().unwrap();
        self.comes_to(gate, &mut child, &mut held).await;
        if is_copy {
            // Only now: the night looks at the size of the long values before.
            let mut rows = self.hold(point).await;
            drop(held);
            self.comes_to(point, &mut child, &mut rows).await;
            held = rows;
        }
        (child, Some(held))
    }

    /// Closes the way at a point.
    async fn hold(&self, point: Point) -> PgConnection {
        const LONG_VALUES: &str = "begin; do $$ begin execute (select format('reindex index %s', i.indexrelid::regclass)
            from pg_class c join pg_index i on i.indrelid = c.reltoastrelid where c.oid = 'public.notes'::regclass); end $$";
        let warehouse = self.night.warehouse_seen_by_superuser();
        let (database, sql) = match point.moment {
            // The night's own sessions never look at it.
            PG_DUMP => (self.night.source_seen_by_superuser(), "begin; lock table pg_ts_template".to_owned()),
            COPY => (self.night.source_seen_by_superuser(), LONG_VALUES.to_owned()),
            READER => (warehouse, "begin; select count(*) from public.users".to_owned()),
            moment => {
                (warehouse, format!("select pg_advisory_lock(77, hashtext('{} {moment}'))", point.step))
            }
        };
        let mut session = database.connect().await;
        execute_on(&mut session, &sql).await;
        session
    }

    async fn comes_to(&self, point: Point, child: &mut Child, held: &mut PgConnection) {
        const IS_WAITING: &str = "select count(*) > 0 from pg_locks where not granted and pg_backend_pid() = any (pg_blocking_pids(pid))";
        until(&format!("the night to come to {point:?}"), async || {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "the night ended before {point:?}: {}", self.log());
            (rows_on(held, IS_WAITING).await == ["t"]).then_some(())
        })
        .await;
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.night.path("night.log")).unwrap()
    }

    async fn no_session_is_left(&self) {
        const LEFT: &str = "select count(*) = 0 from pg_stat_activity where datname = current_database() and application_name like 'nightferry%'";
        for database in [self.night.source_seen_by_superuser(), self.night.warehouse_seen_by_superuser()] {
            let mut session = database.connect().await;
            until("the sessions of the night to end", async || {
                (rows_on(&mut session, LEFT).await == ["t"]).then_some(())
            })
            .await;
            session.close().await.unwrap();
        }
    }

    async fn nothing_is_left(&self) {
        self.no_session_is_left().await;
        assert_unchanged(&self.live, &self.standing(LIVE).await);
        assert_unchanged(&self.previous, &self.standing(PREVIOUS).await);
        let warehouse = self.night.warehouse_seen_by_superuser();
        let schemas =
            "select nspname from pg_namespace where nspname !~ '^(pg_|information_schema)' order by 1";
        assert_eq!(
            warehouse.rows(schemas).await,
            ["bi", "bi__previous", "gate", "nightferry", "public", "public__previous"]
        );
        let generations = "select state, count(*) from nightferry.generations where state <> 'dropped' group by 1 order by 1";
        assert_eq!(warehouse.rows(generations).await, ["live|1", "previous|1"]);
        let stored = "select stored_as, state from nightferry.stored_schemas join nightferry.generations using (generation_id) order by 1";
        assert_eq!(warehouse.rows(stored).await, ["bi__previous|previous", "public__previous|previous"]);
        for table in ["runs", "stages", "steps"] {
            let open = format!("select count(*) from nightferry.{table} where status = 'running'");
            assert_eq!(warehouse.one(&open).await, "0", "{table}");
        }
        let files: BTreeSet<String> = std::fs::read_dir(self.night.path(""))
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(files, ["enrichment", "night.log"].map(str::to_owned).into(), "in WORK_DIR");
    }
}

#[expect(clippy::print_stderr, reason = "a failure says at which point")]
async fn walk(victim: Victim<'_>, points: Vec<Point>) {
    let mut walk = Walk::new(victim).await;
    for point in points {
        eprintln!("{point:?}");
        walk.is_survived_at(point).await;
    }
}

#[tokio::test]
async fn the_list_of_steps_is_what_a_night_does_and_each_has_its_points() {
    let night = TestNight::new().await;
    night.source_sql("create table users (id int primary key)").await;
    night.full(&[]).await;
    assert_eq!(night.warehouse.rows("select step from nightferry.steps order by step_id").await, STEPS);
    assert_eq!(MIDDLES.map(|(step, _)| step), STEPS);
}

#[tokio::test]
async fn nightferry_may_be_killed_between_any_two_steps() {
    walk(Victim::Nightferry, boundaries()).await;
}

#[tokio::test]
async fn nightferry_may_be_killed_in_the_middle_of_any_step() {
    walk(Victim::Nightferry, middles()).await;
}

#[tokio::test]
async fn the_source_may_be_killed_in_the_middle_of_any_step() {
    let own = Cluster::start_own();
    walk(Victim::Source(&own), one_of_each_step()).await;
}

#[tokio::test]
async fn the_warehouse_may_be_killed_in_the_middle_of_any_step() {
    let own = Cluster::start_own();
    walk(Victim::Warehouse(&own), middles()).await;
}
