//! Readers who never stop: they see yesterday's copy or today's, whole, and never an error.
//!
//! Each night the source changes so that a generation is recognisable: every row of every table says its number, and how many
//! rows there are follows from the number.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};
use tokio::task::JoinHandle;

use crate::support::{TestDatabase, TestNight, execute_on, until};

const SWAP: (&str, &str) = ("PUBLISH_MODE", "swap");
const NIGHTS: i64 = 10;
/// Nobody should ever notice the publish; this is generous, since other tests may have the processors.
const SLOWEST: Duration = Duration::from_secs(10);

/// Between two transactions of a reader.
const BETWEEN: Duration = Duration::from_millis(100);

const TABLES: &str = "
    create table users (id int primary key, generation int not null);
    create table orders (id int primary key, user_id int not null references users, generation int not null);
    create table items (id int primary key, order_id int not null references orders, generation int not null)";

/// What the analysts have: a kept table among the replaced ones, a view over both, and a function whose body nobody can look into.
const ANALYSTS: &str = "
    create table public.targets (id int primary key, note text);
    insert into public.targets select g, 'kept' from generate_series(1, 7) g;
    create schema bi;
    create view bi.report as
        select count(*) as rows, min(u.generation) as low, max(o.generation) as high, (select count(*) from public.targets) as targets
        from public.users u join public.orders o on o.user_id = u.id;
    create function bi.people(out rows bigint, out low int, out high int) language plpgsql as $$
        begin select count(*), min(generation), max(generation) into rows, low, high from public.users; end $$";

/// How many users a generation has; of orders there are twice as many, of items three times.
fn users_of(generation: i64) -> i64 {
    100 + 10 * generation
}

async fn change_source(night: &TestNight, generation: i64) {
    let users = users_of(generation);
    night
        .source_sql(&format!(
            "truncate users, orders, items;
             insert into users select g, {generation} from generate_series(1, {users}) g;
             insert into orders select g, 1 + g % {users}, {generation} from generate_series(1, 2 * {users}) g;
             insert into items select g, 1 + g % {users}, {generation} from generate_series(1, 3 * {users}) g"
        ))
        .await;
}

async fn night_with_readers() -> TestNight {
    let night = TestNight::new().await;
    night.source_sql(TABLES).await;
    change_source(&night, 0).await;
    night.full(&[SWAP]).await;
    night.warehouse_sql(ANALYSTS).await;
    night
}

/// One question: how many rows there are, the lowest and the highest generation among them, and the kept rows.
struct Question {
    sql: &'static str,
    /// So many rows for each user.
    times: i64,
}

const QUESTIONS: [Question; 7] = [
    Question { sql: "select count(*), min(generation), max(generation), 7::bigint from public.users", times: 1 },
    Question {
        sql: "select rows, low, high, targets from bi.report where low > -1",
        times: 2,
    },
    Question { sql: "select count(*), min(generation), max(generation), 7::bigint from public.orders", times: 2 },
    Question { sql: "select rows, low, high, 7::bigint from bi.people()", times: 1 },
    Question {
        sql: "select count(*), least(min(u.generation), min(o.generation), min(i.generation)),
                     greatest(max(u.generation), max(o.generation), max(i.generation)), (select count(*) from public.targets)
              from public.items i join public.orders o on o.id = i.order_id join public.users u on u.id = o.user_id",
        times: 3,
    },
    Question { sql: "select count(*), min(generation), max(generation), 7::bigint from public.items", times: 3 },
    // As people write it; where the search path does not have the schema, the one that has takes it.
    Question {
        sql: "select count(*), min(u.generation), max(o.generation), (select count(*) from targets)
              from users u join orders o on o.user_id = u.id",
        times: 2,
    },
];

/// What one question answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Answer {
    rows: i64,
    low: Option<i32>,
    high: Option<i32>,
    targets: i64,
}

impl Answer {
    fn from(row: &PgRow) -> Self {
        Self { rows: row.get(0), low: row.get(1), high: row.get(2), targets: row.get(3) }
    }

    /// Which generation it is of, where it is of one, and whole.
    fn generation(&self, times: i64) -> Option<i64> {
        let generation = i64::from(self.low?);
        let is_whole =
            self.rows == times * users_of(generation) && self.targets == 7 && self.low == self.high;
        is_whole.then_some(generation)
    }
}

/// What a reader saw.
#[derive(Debug, Default)]
struct Seen {
    errors: Vec<String>,
    /// Answers that are not of one whole generation.
    broken: Vec<String>,
    /// Transactions with more than one generation.
    mixed: Vec<String>,
    questions: usize,
    last: i64,
    /// The slow ones: when they began, in seconds since 1970, and how long they took.
    slow: Vec<(f64, Duration)>,
}

/// Asks in transactions of several statements until told to stop; each SQL is prepared once and used for all nights.
async fn read(mut session: PgConnection, unqualified: bool, first: usize, stop: Arc<AtomicBool>) -> Seen {
    let mut seen = Seen::default();
    let asked = if unqualified { QUESTIONS.len() } else { QUESTIONS.len() - 1 };
    let mut is_last = false;
    while !is_last {
        // Once more after the last night.
        is_last = stop.load(Ordering::Relaxed);
        execute_on(&mut session, "begin").await;
        let mut of = Vec::new();
        let mut is_broken = false;
        for question in (0..asked).map(|number| &QUESTIONS[(first + number) % asked]) {
            let (at, start) = (SystemTime::now(), std::time::Instant::now());
            let row = sqlx::query(question.sql).fetch_one(&mut session).await;
            if start.elapsed() > Duration::from_millis(20) {
                seen.slow.push((at.duration_since(UNIX_EPOCH).unwrap().as_secs_f64(), start.elapsed()));
            }
            seen.questions += 1;
            match row.as_ref().map(Answer::from) {
                Ok(answer) => match answer.generation(question.times) {
                    Some(generation) => of.push(generation),
                    None => seen.broken.push(format!("{answer:?} of {}", question.sql)),
                },
                Err(error) => {
                    seen.errors.push(format!("{error} in {}", question.sql));
                    is_broken = true;
                    break;
                }
            }
        }
        execute_on(&mut session, if is_broken { "rollback" } else { "commit" }).await;
        // As long as it takes to look at the answers: the publish can only lock when nobody is in the middle of a transaction.
        tokio::time::sleep(BETWEEN).await;
        if of.iter().min() != of.iter().max() {
            seen.mixed.push(format!("{of:?}"));
        }
        // Time never runs backwards.
        let newest = of.iter().max().copied().unwrap_or(seen.last);
        if newest < seen.last {
            seen.mixed.push(format!("generation {newest} after {}", seen.last));
        }
        seen.last = newest;
    }
    seen
}

/// Four readers on connections of their own: as people connect, with a search path that lacks `public`, with plans that are
/// never made anew by themselves, and one who asks in another order.
async fn start_readers(warehouse: &TestDatabase, stop: &Arc<AtomicBool>) -> Vec<JoinHandle<Seen>> {
    let settings = [
        "",
        "set search_path = bi",
        "set plan_cache_mode = force_generic_plan",
        "set search_path = ''; set plan_cache_mode = force_generic_plan",
    ];
    let mut readers = Vec::new();
    for (number, setting) in settings.into_iter().enumerate() {
        let mut session = warehouse.connect().await;
        execute_on(&mut session, setting).await;
        let unqualified = !setting.contains("search_path");
        readers.push(tokio::spawn(read(session, unqualified, number, Arc::clone(stop))));
    }
    readers
}

/// Ten nights under four readers. Gives what they saw, and prints the slowest answer during a publish.
#[expect(clippy::print_stderr, reason = "a measurement is for whoever runs the test")]
async fn ten_nights(night: &TestNight, lock: &str) -> Vec<Seen> {
    let stop = Arc::new(AtomicBool::new(false));
    let readers = start_readers(&night.warehouse, &stop).await;
    for generation in 1..=NIGHTS {
        change_source(night, generation).await;
        let outcome = night.full(&[SWAP, ("PUBLISH_LOCK", lock)]).await;
        assert_eq!(outcome.skipped, [], "night {generation}");
    }
    stop.store(true, Ordering::Relaxed);
    let mut seen = Vec::new();
    for reader in readers {
        seen.push(reader.await.unwrap());
    }
    let publishes: Vec<(f64, f64)> = sqlx::query_as(
        "select extract(epoch from started_at)::float8, extract(epoch from ended_at)::float8 from nightferry.steps where step = 'publish'",
    )
    .fetch_all(&mut night.warehouse.connect().await)
    .await
    .unwrap();
    assert_eq!(publishes.len(), usize::try_from(NIGHTS).unwrap() + 1);
    let in_publish = |at: f64, took: Duration| {
        publishes.iter().any(|(from, to)| at <= *to && at + took.as_secs_f64() >= *from)
    };
    let slow = seen.iter().flat_map(|seen| &seen.slow).filter(|(at, took)| in_publish(*at, *took));
    let slowest = slow.map(|(_, took)| *took).max().unwrap_or_default();
    let longest = publishes.iter().map(|(from, to)| to - from).fold(0.0, f64::max);
    let questions: usize = seen.iter().map(|seen| seen.questions).sum();
    eprintln!(
        "PUBLISH_LOCK={lock}: {questions} questions in {NIGHTS} nights; the slowest during a publish took {slowest:?} (0: less than 20 ms); the longest publish {longest:.3} s"
    );
    assert!(slowest < SLOWEST, "{slowest:?}");
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn no_transaction_of_a_reader_ever_sees_two_generations_when_the_lock_is_required() {
    let night = night_with_readers().await;
    for seen in ten_nights(&night, "require").await {
        assert_eq!((seen.errors, seen.broken, seen.mixed), Default::default());
        assert_eq!(seen.last, NIGHTS, "a reader of {} questions does not see the last night", seen.questions);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_of_a_reader_ever_sees_two_generations_even_without_the_lock() {
    let night = night_with_readers().await;
    for seen in ten_nights(&night, "none").await {
        assert_eq!((seen.errors, seen.broken), Default::default());
        assert_eq!(seen.last, NIGHTS, "a reader of {} questions does not see the last night", seen.questions);
    }
}

/// A repeatable-read transaction from before the load, with or without a look at one of the tables.
async fn old_transaction(night: &TestNight, look: &str) -> PgConnection {
    let mut session = night.warehouse.connect().await;
    execute_on(&mut session, "begin isolation level repeatable read").await;
    execute_on(&mut session, look).await;
    session
}

async fn asks_everything(session: &mut PgConnection, generations: &[i64]) {
    for question in &QUESTIONS {
        let row = sqlx::query(question.sql).fetch_one(&mut *session).await.unwrap();
        let answer = Answer::from(&row);
        let generation = answer.generation(question.times);
        assert!(
            generation.is_some_and(|generation| generations.contains(&generation)),
            "{answer:?} of {}",
            question.sql
        );
    }
    execute_on(session, "commit").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeatable_read_transaction_that_is_older_than_the_load_never_finds_an_empty_table() {
    let night = night_with_readers().await;
    night
        .warehouse_sql("create materialized view bi.sums as select count(*) as rows, min(generation) as low, max(generation) as high from public.items")
        .await;
    for (generation, lock) in [(1, "require"), (2, "none"), (3, "try")] {
        // A look at the catalog takes the snapshot, and holds no table.
        let mut old = old_transaction(&night, "select count(*) from pg_class").await;
        change_source(&night, generation).await;
        night.full(&[SWAP, ("PUBLISH_LOCK", lock)]).await;
        let sums =
            sqlx::query("select rows, low, high, 7::bigint from bi.sums").fetch_one(&mut old).await.unwrap();
        assert_eq!(Answer::from(&sums).generation(3), Some(generation), "PUBLISH_LOCK={lock}");
        asks_everything(&mut old, &[generation]).await;
    }
    // One that holds a table of yesterday, and is not waited for.
    let mut holder = old_transaction(&night, "select count(*) from public.users").await;
    change_source(&night, 4).await;
    night.full(&[SWAP, ("PUBLISH_LOCK", "none")]).await;
    asks_everything(&mut holder, &[3, 4]).await;
    // One that holds a table of yesterday, and is waited for: it reads yesterday's to its end.
    let mut holder = old_transaction(&night, "select count(*) from public.users").await;
    change_source(&night, 5).await;
    let stage = async { night.full(&[SWAP, ("PUBLISH_LOCK", "require")]).await };
    let meanwhile = async {
        until("the publish to wait for the reader", async || {
            let waiting = "select count(*) from pg_locks where not granted and relation is not null
                           and database = (select oid from pg_database where datname = current_database())";
            (night.warehouse.one(waiting).await != "0").then_some(())
        })
        .await;
        asks_everything(&mut holder, &[4]).await;
    };
    tokio::join!(stage, meanwhile);
    asks_everything(&mut old_transaction(&night, "select 1").await, &[5]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_with_plans_of_yesterday_reads_the_columns_of_today() {
    let night = night_with_readers().await;
    night
        .warehouse_sql(
            "create function bi.newest() returns text language plpgsql set search_path = bi as $$
             declare r record; begin select * into r from public.users order by id limit 1; return to_jsonb(r)::text; end $$",
        )
        .await;
    let mut session = night.warehouse.connect().await;
    execute_on(&mut session, "set search_path = bi; prepare counting as select count(*) from public.users")
        .await;
    let ask = async |session: &mut PgConnection| {
        let newest: String = sqlx::query_scalar("select bi.newest()").fetch_one(&mut *session).await.unwrap();
        let counted = crate::support::rows_on(session, "execute counting").await.remove(0);
        (newest, counted)
    };
    assert_eq!(ask(&mut session).await, (r#"{"id": 1, "generation": 0}"#.to_owned(), "100".to_owned()));
    change_source(&night, 1).await;
    night.source_sql("alter table users add column name text default 'new'").await;
    night.full(&[SWAP]).await;
    let expected = (r#"{"id": 1, "name": "new", "generation": 1}"#.to_owned(), "110".to_owned());
    assert_eq!(ask(&mut session).await, expected);
}
