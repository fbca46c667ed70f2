//! The settled bound, case by case: rows that commit late arrive, whoever holds them back and however.
//!
//! Nobody sleeps here. Transactions are held open by the test, and what happens while the stage waits happens once it has
//! been seen to ask again and again.

use std::collections::BTreeSet;

use nightferry::ids::Stage;
use nightferry::outcome::StageOutcome;
use sqlx::Connection;
use sqlx::postgres::PgConnection;

use crate::support::{Cluster, TestNight, execute_on, until};

const STAGE: Stage = Stage::IncrementalReplication;
const ANSWERS: &str = r#"{"answers":"incremental"}"#;
/// Longer than a test may take: who waits for so long has waited for what the test holds.
const PATIENT: &str = "10m";
const HASTY: &str = "1s";

async fn run(night: &TestNight, modes: &str, timeout: &str) -> StageOutcome {
    night.run(STAGE, &[("BACKUP_MODE", modes), ("INCREMENTAL_SETTLE_TIMEOUT", timeout)]).await
}

/// Runs the stage, and `meanwhile` once it is seen to wait for the source's writers. It must not end before.
async fn run_and_meanwhile(
    night: &TestNight,
    modes: &str,
    meanwhile: impl Future<Output = ()>,
) -> StageOutcome {
    let run = run(night, modes, PATIENT);
    tokio::pin!(run);
    tokio::select! {
        outcome = &mut run => panic!("it did not wait for the writers: {outcome:?}"),
        () = it_asks_again(night) => {}
    }
    tokio::select! {
        outcome = &mut run => panic!("it did not wait for the writers: {outcome:?}"),
        () = meanwhile => {}
    }
    run.await
}

/// Comes back when the stage has looked four times more for the writers of the source.
async fn it_asks_again(night: &TestNight) {
    let mut seen = BTreeSet::new();
    until("the stage to look for the source's writers again and again", async || {
        seen.extend(
            night
                .source
                .rows(
                    "select query_start from pg_stat_activity
                      where datname = current_database() and pid <> pg_backend_pid()
                        and application_name like 'nightferry%' and query ~ 'pg_locks|pg_prepared_xacts|pg_stat_activity'",
                )
                .await,
        );
        (seen.len() > 4).then_some(())
    })
    .await;
}

/// The settled bound of a table, nothing where there is none.
async fn settled(night: &TestNight, table: &str) -> String {
    let sql = format!(
        "select array_to_string(settled, '|') from nightferry.increments
          where schema_name = 'public' and table_name = '{table}'"
    );
    night.warehouse.one(&sql).await
}

async fn ids(night: &TestNight) -> String {
    night.warehouse.one("select string_agg(id::text, ' ' order by id) from answers").await
}

async fn begun(night: &TestNight, sql: &str) -> PgConnection {
    let mut session = night.source.connect().await;
    execute_on(&mut session, "begin").await;
    execute_on(&mut session, sql).await;
    session
}

async fn end(mut session: PgConnection, sql: &str) {
    execute_on(&mut session, sql).await;
    session.close().await.unwrap();
}

/// Rows 1 to 9 on both sides, settled.
async fn nine_answers() -> TestNight {
    nine_answers_of(TestNight::new().await).await
}

async fn nine_answers_of(night: TestNight) -> TestNight {
    night.source_sql("create table answers (id bigserial primary key, note text)").await;
    night.warehouse_sql("create table answers (id bigint primary key, note text)").await;
    night.source_sql("insert into answers (note) select 'old' from generate_series(1, 9)").await;
    run(&night, ANSWERS, PATIENT).await;
    assert_eq!(settled(&night, "answers").await, "9");
    night
}

const LATE: &str = "insert into answers (id, note) values (10, 'late'); commit";

#[tokio::test]
async fn a_row_that_commits_after_the_next_one_arrives_the_next_night() {
    let night = nine_answers().await;
    let first = begun(&night, "insert into answers (note) values ('late')").await;
    night.source_sql("insert into answers (note) values ('early')").await;

    let outcome = run(&night, ANSWERS, HASTY).await;

    assert_eq!(ids(&night).await, "1 2 3 4 5 6 7 8 9 11");
    assert_eq!((outcome.tables[0].rows, settled(&night, "answers").await.as_str()), (1, "9"));
    let note = outcome.skipped.iter().find(|skipped| skipped.object.contains("public.answers"));
    assert!(note.is_some_and(|note| note.reason.contains("settle")), "{:?}", outcome.skipped);
    end(first, "commit").await;
    let outcome = run(&night, ANSWERS, PATIENT).await;
    assert_eq!(ids(&night).await, "1 2 3 4 5 6 7 8 9 10 11");
    assert_eq!((outcome.tables[0].rows, settled(&night, "answers").await.as_str()), (1, "11"));
    assert_eq!(outcome.skipped, []);
}

#[tokio::test]
async fn a_number_that_was_only_drawn_is_waited_for() {
    let night = nine_answers().await;
    // It has no transaction id, and no lock on the table.
    let first = begun(&night, "select nextval('answers_id_seq')").await;
    night.source_sql("insert into answers (note) values ('early')").await;

    let outcome = run_and_meanwhile(&night, ANSWERS, async {
        end(first, LATE).await;
    })
    .await;

    assert_eq!((outcome.tables[0].rows, settled(&night, "answers").await.as_str()), (2, "11"));
    assert_eq!(ids(&night).await, "1 2 3 4 5 6 7 8 9 10 11");
}

#[tokio::test]
async fn a_number_that_a_savepoint_took_back_is_waited_for() {
    let night = nine_answers().await;
    let first = begun(
        &night,
        "savepoint s; insert into answers (note) values ('taken back'); rollback to s; release s",
    )
    .await;
    night.source_sql("insert into answers (note) values ('early')").await;

    let outcome = run_and_meanwhile(&night, ANSWERS, async {
        end(first, LATE).await;
    })
    .await;

    assert_eq!((outcome.tables[0].rows, settled(&night, "answers").await.as_str()), (2, "11"));
    assert_eq!(ids(&night).await, "1 2 3 4 5 6 7 8 9 10 11");
}

#[tokio::test]
async fn a_writer_that_prepares_its_transaction_meanwhile_is_waited_for_still() {
    let night = nine_answers().await;
    let mut first = begun(&night, "insert into answers (note) values ('late')").await;
    night.source_sql("insert into answers (note) values ('early')").await;
    let name = night.source.name();

    let outcome = run_and_meanwhile(&night, ANSWERS, async {
        execute_on(&mut first, &format!("prepare transaction '{name}'")).await;
        first.close().await.unwrap();
        it_asks_again(&night).await;
        night.source_sql(&format!("commit prepared '{name}'")).await;
    })
    .await;

    assert_eq!((outcome.tables[0].rows, settled(&night, "answers").await.as_str()), (2, "11"));
    assert_eq!(ids(&night).await, "1 2 3 4 5 6 7 8 9 10 11");
}

#[tokio::test]
async fn a_transaction_that_was_prepared_before_is_waited_for_only_as_long_as_said() {
    let night = nine_answers().await;
    let name = night.source.name();
    let first = begun(&night, "insert into answers (note) values ('late')").await;
    end(first, &format!("prepare transaction '{name}'")).await;
    night.source_sql("insert into answers (note) values ('early')").await;

    run(&night, ANSWERS, HASTY).await;

    assert_eq!(
        (ids(&night).await.as_str(), settled(&night, "answers").await.as_str()),
        ("1 2 3 4 5 6 7 8 9 11", "9")
    );
    night.source_sql(&format!("commit prepared '{name}'")).await;
    run(&night, ANSWERS, PATIENT).await;
    assert_eq!(ids(&night).await, "1 2 3 4 5 6 7 8 9 10 11");
    assert_eq!(settled(&night, "answers").await, "11");
}

/// A restart ends every session and every transaction, and gives those that are prepared another name among the locks.
#[tokio::test]
async fn a_restart_of_the_source_does_not_end_what_was_prepared() {
    let sources = Cluster::start_own();
    let night = nine_answers_of(TestNight::between(&sources, Cluster::of_warehouses()).await).await;
    let name = night.source.name();
    let first = begun(&night, "insert into answers (note) values ('late')").await;
    end(first, &format!("prepare transaction '{name}'")).await;
    night.source_sql("insert into answers (note) values ('early')").await;

    for _ in 1..=2 {
        run(&night, ANSWERS, HASTY).await;
        assert_eq!(settled(&night, "answers").await, "9");
        sources.crash();
        sources.restart();
    }
    run(&night, ANSWERS, HASTY).await;
    assert_eq!(settled(&night, "answers").await, "9");

    night.source_sql(&format!("commit prepared '{name}'")).await;
    run(&night, ANSWERS, PATIENT).await;
    assert_eq!(ids(&night).await, "1 2 3 4 5 6 7 8 9 10 11");
    assert_eq!(settled(&night, "answers").await, "11");
}

/// Writers that begin after the bound was read do not keep the stage from ending.
#[tokio::test]
async fn a_writer_that_comes_later_is_not_waited_for() {
    let night = nine_answers().await;
    let first = begun(&night, "insert into answers (note) values ('late')").await;
    night.source_sql("insert into answers (note) values ('early')").await;
    let mut later = None;

    run_and_meanwhile(&night, ANSWERS, async {
        later = Some(begun(&night, "insert into answers (note) values ('later')").await);
        end(first, "commit").await;
    })
    .await;

    assert_eq!(
        (ids(&night).await.as_str(), settled(&night, "answers").await.as_str()),
        ("1 2 3 4 5 6 7 8 9 10 11", "11")
    );
    end(later.unwrap(), "commit").await;
    assert_eq!(run(&night, ANSWERS, PATIENT).await.tables[0].rows, 1);
    assert_eq!(ids(&night).await, "1 2 3 4 5 6 7 8 9 10 11 12");
}

/// A session draws twenty numbers at once, and holds them without a transaction or a lock.
#[tokio::test]
async fn numbers_that_a_session_has_cached_arrive_when_they_are_written() {
    let night = TestNight::new().await;
    night
        .source_sql(
            "create sequence numbers cache 20;
             create table answers (id bigint primary key default nextval('numbers'), note text);
             alter sequence numbers owned by answers.id",
        )
        .await;
    night.warehouse_sql("create table answers (id bigint primary key, note text)").await;
    let (mut first, mut second) = (night.source.connect().await, night.source.connect().await);
    execute_on(&mut first, "insert into answers (note) values ('1')").await;
    execute_on(&mut second, "insert into answers (note) values ('21'), ('22')").await;

    run(&night, ANSWERS, HASTY).await;

    assert_eq!(ids(&night).await, "1 21 22");
    for id in 2..=4 {
        execute_on(&mut first, &format!("insert into answers (note) values ('{id}')")).await;
        run(&night, ANSWERS, HASTY).await;
        assert_eq!(
            night.warehouse.one(&format!("select note from answers where id = {id}")).await,
            id.to_string()
        );
    }
    execute_on(&mut second, "insert into answers (note) values ('23')").await;
    first.close().await.unwrap();
    second.close().await.unwrap();
    run(&night, ANSWERS, HASTY).await;
    assert_eq!(ids(&night).await, "1 2 3 4 21 22 23");
}

#[tokio::test]
async fn the_same_increment_twice_copies_nothing_the_second_time() {
    let night = nine_answers().await;
    night.source_sql("insert into answers (note) values ('new')").await;
    assert_eq!(run(&night, ANSWERS, PATIENT).await.tables[0].rows, 1);

    let again = run(&night, ANSWERS, PATIENT).await;

    assert_eq!((again.tables[0].rows, again.tables[0].bytes), (0, 0));
    assert_eq!(
        (ids(&night).await.as_str(), settled(&night, "answers").await.as_str()),
        ("1 2 3 4 5 6 7 8 9 10", "10")
    );
}

/// The warehouse's table has no key that would keep a row from coming twice.
#[tokio::test]
async fn two_runs_at_once_bring_each_row_once() {
    let night = nine_answers().await;
    night.warehouse_sql("alter table answers drop constraint answers_pkey").await;
    night.source_sql("insert into answers (note) select 'new' from generate_series(10, 5000)").await;
    let command = ["run", "incremental-replication"];
    let extra = [("BACKUP_MODE", ANSWERS)];

    let (one, other) = futures::join!(night.binary(&command, &extra), night.binary(&command, &extra));

    assert!(one.status.success() || other.status.success());
    for output in [one, other].iter().filter(|output| !output.status.success()) {
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("another job holds the warehouse"), "{said}");
    }
    assert_eq!(
        night.warehouse.one("select count(*), count(distinct id), max(id) from answers").await,
        "5000|5000|5000"
    );
    assert_eq!(settled(&night, "answers").await, "5000");
}

/// A check on the warehouse's table waits at row 1000 for a lock that the test holds, so that the stream is surely not read
/// to its end by then.
#[tokio::test]
async fn a_source_that_dies_in_mid_copy_does_not_move_the_bound() {
    let night = nine_answers().await;
    night
        .warehouse_sql(
            "create function wait_at_1000(id bigint) returns boolean language plpgsql as $$ begin
                if id = 1000 then perform pg_advisory_lock_shared(4712), pg_advisory_unlock_shared(4712); end if;
                return true; end $$;
             alter table answers add check (wait_at_1000(id))",
        )
        .await;
    night
        .source_sql(
            "insert into answers (note) select repeat(md5(n::text), 8) from generate_series(10, 200000) n",
        )
        .await;
    let mut holder = night.warehouse.connect().await;
    execute_on(&mut holder, "select pg_advisory_lock(4712)").await;

    let extra = [("BACKUP_MODE", ANSWERS)];
    let run_to_its_end = night.try_run(STAGE, &extra);
    let end_the_source = async {
        until("the warehouse to wait at row 1000", async || {
            let waiting =
                "select count(*) from pg_locks where locktype = 'advisory' and not granted and objid = 4712";
            (night.warehouse.one(waiting).await == "1").then_some(())
        })
        .await;
        let ended = night
            .source
            .rows(
                "select pg_terminate_backend(pid) from pg_stat_activity
                  where query ilike 'copy%' and state = 'active' and datname = current_database()",
            )
            .await;
        assert!(!ended.is_empty());
        execute_on(&mut holder, "select pg_advisory_unlock(4712)").await;
    };
    let (result, ()) = futures::join!(run_to_its_end, end_the_source);

    let error = result.unwrap_err();
    assert!(error.kind().is_retryable() && error.to_string().contains("public.answers"), "{error}");
    assert_eq!(
        (ids(&night).await.as_str(), settled(&night, "answers").await.as_str()),
        ("1 2 3 4 5 6 7 8 9", "9")
    );
    run(&night, ANSWERS, PATIENT).await;
    let checksum = "select count(*), sum(hashtext(id || note)::bigint) from answers";
    assert_eq!(night.warehouse.one(checksum).await, night.source.one(checksum).await);
    assert_eq!(settled(&night, "answers").await, "200000");
}

/// Rows and bound are written by the same transaction.
#[tokio::test]
async fn rows_that_the_warehouse_refuses_do_not_move_the_bound() {
    let night = nine_answers().await;
    night.warehouse_sql("alter table answers add check (note <> 'no')").await;
    night.source_sql("insert into answers (note) values ('yes'), ('no')").await;
    let extra = [("BACKUP_MODE", ANSWERS)];

    night.try_run(STAGE, &extra).await.unwrap_err();

    assert_eq!(
        (ids(&night).await.as_str(), settled(&night, "answers").await.as_str()),
        ("1 2 3 4 5 6 7 8 9", "9")
    );
    night.warehouse_sql("alter table answers drop constraint answers_note_check").await;
    run(&night, ANSWERS, PATIENT).await;
    assert_eq!(
        (ids(&night).await.as_str(), settled(&night, "answers").await.as_str()),
        ("1 2 3 4 5 6 7 8 9 10 11", "11")
    );
}

#[tokio::test]
async fn a_table_that_the_warehouse_lacks_is_loaded_whole_and_a_row_that_was_late_then_arrives() {
    let night = TestNight::new().await;
    night
        .source_sql(
            "create table answers (id bigserial primary key, note text);
             insert into answers (note) select 'old' from generate_series(1, 4)",
        )
        .await;
    let first = begun(&night, "insert into answers (note) values ('late')").await;
    night.source_sql("insert into answers (note) values ('early')").await;

    night.full(&[("BACKUP_MODE", ANSWERS)]).await;
    assert_eq!(ids(&night).await, "1 2 3 4 6");
    run(&night, ANSWERS, HASTY).await;

    end(first, "commit").await;
    assert_eq!(run(&night, ANSWERS, PATIENT).await.tables[0].rows, 1);
    assert_eq!((ids(&night).await.as_str(), settled(&night, "answers").await.as_str()), ("1 2 3 4 5 6", "6"));
    night.source_sql("insert into answers (note) values ('new')").await;
    assert_eq!(run(&night, ANSWERS, PATIENT).await.tables[0].rows, 1);
}

#[tokio::test]
async fn an_empty_table_is_loaded_whole_and_settled() {
    let night = TestNight::new().await;
    night.source_sql("create table answers (id bigserial primary key, note text)").await;
    night.warehouse_sql("create table answers (id bigint primary key, note text)").await;

    assert_eq!(run(&night, ANSWERS, PATIENT).await.tables[0].rows, 0);
    night.source_sql("insert into answers (note) select 'new' from generate_series(1, 3)").await;
    assert_eq!(run(&night, ANSWERS, PATIENT).await.tables[0].rows, 3);

    assert_eq!((ids(&night).await.as_str(), settled(&night, "answers").await.as_str()), ("1 2 3", "3"));
}

/// What an older tool lost before nightferry came is found by the first night.
#[tokio::test]
async fn rows_that_were_missing_before_the_first_night_arrive() {
    let night = TestNight::new().await;
    night
        .source_sql(
            "create table answers (id bigserial primary key, note text);
             insert into answers (note) select 'row' from generate_series(1, 2000)",
        )
        .await;
    night
        .warehouse_sql(
            "create table answers (id bigint primary key, note text);
             insert into answers select n, 'row' from generate_series(1, 1990) n where n not in (1, 77, 1234)",
        )
        .await;

    let outcome = run(&night, ANSWERS, PATIENT).await;

    assert_eq!((outcome.tables[0].rows, settled(&night, "answers").await.as_str()), (13, "2000"));
    let all = "select count(*), sum(id), min(note), max(note) from answers";
    assert_eq!(night.warehouse.one(all).await, night.source.one(all).await);
}

/// A key, rows of the first night, the row that is late, and one beyond it that is not.
struct Shape {
    table: &'static str,
    columns: &'static str,
    mode: &'static str,
    rows: &'static str,
    late: &'static str,
    early: &'static str,
}

/// None of them draws from a sequence: nothing tells how late a row may be.
const SHAPES: [Shape; 7] = [
    Shape {
        table: "uuids",
        columns: "id uuid primary key",
        mode: r#""incremental""#,
        rows: "('01936d00-0000-7000-8000-000000000001'), ('01936d00-0001-7000-8000-000000000001')",
        late: "('01936d00-0002-7000-8000-000000000001')",
        early: "('01936d00-0003-7000-8000-000000000001')",
    },
    Shape {
        table: "beyond_2_53",
        columns: "id bigint primary key",
        mode: r#""incremental""#,
        rows: "(9007199254740993), (9007199254740995)",
        late: "(9007199254740997)",
        early: "(9007199254740998)",
    },
    Shape {
        table: "numerics",
        columns: "id numeric primary key",
        mode: r#""incremental""#,
        rows: "(-1.5), (123456789012345678901234567890.123456789)",
        late: "(123456789012345678901234567890.1234567891)",
        early: "(123456789012345678901234567890.1234567892)",
    },
    Shape {
        table: "moments",
        columns: r#"at timestamptz, id int, primary key (at, id)"#,
        mode: r#"{"mode":"incremental","key":["at","id"]}"#,
        rows: "('2026-03-29 00:59:59.999999+00', 1), ('2026-03-29 01:00:00.000001+00', 2)",
        late: "('2026-03-29 01:00:00.000001+00', 3)",
        early: "('2026-03-29 01:00:00.000001+00', 4)",
    },
    Shape {
        table: "words",
        columns: "word text primary key",
        mode: r#"{"mode":"incremental","key":"word"}"#,
        // Byte by byte Z comes before a, and é after all of them.
        rows: "('Z'), ('a')",
        late: "('a''b')",
        early: "('éa')",
    },
    Shape {
        table: "pairs",
        columns: "one smallint, other text, primary key (one, other)",
        mode: r#"{"mode":"incremental","key":["one","other"]}"#,
        rows: "(1, 'b'), (2, 'a')",
        late: "(2, 'b')",
        early: "(3, 'a')",
    },
    Shape {
        table: "dates",
        columns: "day date primary key",
        mode: r#"{"mode":"incremental","key":"day"}"#,
        rows: "('2026-01-01'), ('0044-03-15 BC')",
        late: "('2026-01-02')",
        early: "('2026-01-03')",
    },
];

#[tokio::test]
async fn late_rows_of_any_key_arrive_the_next_night() {
    let night = TestNight::new().await;
    let mut late = Vec::new();
    let modes: Vec<String> =
        SHAPES.iter().map(|shape| format!("\"{}\":{}", shape.table, shape.mode)).collect();
    let modes = format!("{{{}}}", modes.join(","));
    for Shape { table, columns, rows, .. } in &SHAPES {
        night
            .source_sql(&format!("create table {table} ({columns}); insert into {table} values {rows}"))
            .await;
        night.warehouse_sql(&format!("create table {table} ({columns})")).await;
    }
    run(&night, &modes, "100ms").await;
    for shape in &SHAPES {
        late.push(begun(&night, &format!("insert into {} values {}", shape.table, shape.late)).await);
        night.source_sql(&format!("insert into {} values {}", shape.table, shape.early)).await;
    }

    let outcome = run(&night, &modes, "100ms").await;

    assert_eq!(outcome.tables.iter().map(|table| table.rows).collect::<Vec<_>>(), [1; SHAPES.len()]);
    for session in late {
        end(session, "commit").await;
    }
    let outcome = run(&night, &modes, "100ms").await;
    assert_eq!(outcome.tables.iter().map(|table| table.rows).collect::<Vec<_>>(), [1; SHAPES.len()]);
    for Shape { table, .. } in &SHAPES {
        let rows = format!("select t::text from {table} t order by t::text collate \"C\"");
        assert_eq!(night.warehouse.rows(&rows).await, night.source.rows(&rows).await, "{table}");
    }
    let again = run(&night, &modes, "100ms").await;
    assert_eq!(again.tables.iter().map(|table| table.rows).sum::<u64>(), 0);
}

/// The id was made, the transaction had not begun: no lock told of it.
#[tokio::test]
async fn a_uuid_that_was_made_before_its_transaction_began_arrives_the_next_night() {
    let night = TestNight::new().await;
    let table = "create table answers (id uuid primary key, note text)";
    night.source_sql(table).await;
    night.warehouse_sql(table).await;
    let insert = |number: u8| {
        format!("insert into answers values ('01936d00-000{number}-7000-8000-000000000001', '{number}')")
    };
    night.source_sql(&insert(1)).await;
    night.source_sql(&insert(3)).await;
    run(&night, ANSWERS, HASTY).await;

    night.source_sql(&insert(2)).await;
    night.source_sql(&insert(4)).await;
    assert_eq!(run(&night, ANSWERS, HASTY).await.tables[0].rows, 2);

    assert_eq!(night.warehouse.rows("select note from answers order by id").await, ["1", "2", "3", "4"]);
}

/// `now()` is when a transaction began: each of them counts, whether it has touched the table or not.
#[tokio::test]
async fn with_an_overlap_a_time_settles_once_the_transactions_of_its_moment_have_ended() {
    let night = TestNight::new().await;
    let table = "create table moments (at timestamptz primary key)";
    night.source_sql(table).await;
    night.warehouse_sql(table).await;
    let modes = r#"{"moments":{"mode":"incremental","key":"at","overlap":"1ms"}}"#;
    night.source_sql("insert into moments values ('2026-01-01 00:00+00'), ('2026-01-01 02:00+00')").await;
    let first = begun(&night, "select now()").await;

    run(&night, modes, HASTY).await;
    assert_eq!(run(&night, modes, HASTY).await.tables[0].rows, 0);
    assert_eq!(settled(&night, "moments").await, "");
    end(first, "insert into moments values ('2026-01-01 01:00+00'); commit").await;
    assert_eq!(run(&night, modes, HASTY).await.tables[0].rows, 1);

    assert_eq!(settled(&night, "moments").await, "2026-01-01 02:00:00+00");
    let rows = "select * from moments order by at";
    assert_eq!(night.warehouse.rows(rows).await, night.source.rows(rows).await);
}

/// The sessions that were there when the bound was read have ended: what they had cached nobody will ever write.
#[tokio::test]
async fn a_sequence_with_a_cache_settles_once_the_sessions_of_its_moment_have_ended() {
    let night = TestNight::new().await;
    night
        .source_sql(
            "create sequence numbers cache 20;
             create table answers (id bigint primary key default nextval('numbers'), note text);
             alter sequence numbers owned by answers.id",
        )
        .await;
    night.warehouse_sql("create table answers (id bigint primary key, note text)").await;
    let mut first = night.source.connect().await;
    execute_on(&mut first, "insert into answers (note) values ('1')").await;
    night.source_sql("insert into answers (note) values ('21')").await;

    run(&night, ANSWERS, PATIENT).await;
    assert_eq!(settled(&night, "answers").await, "");
    execute_on(&mut first, "begin; insert into answers (note) values ('2')").await;
    let name = night.source.name();
    end(first, &format!("prepare transaction '{name}'")).await;
    // The session is gone, and what it has prepared is not.
    run(&night, ANSWERS, HASTY).await;
    assert_eq!((ids(&night).await.as_str(), settled(&night, "answers").await.as_str()), ("1 21", ""));
    night.source_sql(&format!("commit prepared '{name}'")).await;
    assert_eq!(run(&night, ANSWERS, PATIENT).await.tables[0].rows, 1);

    assert_eq!((ids(&night).await.as_str(), settled(&night, "answers").await.as_str()), ("1 2 21", "21"));
}

const ITEMS: &str = r#"{"items":{"mode":"upsert","cursor":"updatedAt"}}"#;

async fn items() -> TestNight {
    let night = TestNight::new().await;
    let table = r#"create table items (id bigint primary key, "updatedAt" timestamptz not null default now(), note text)"#;
    night.source_sql(table).await;
    night.warehouse_sql(table).await;
    night.source_sql("insert into items (id, note) select n, 'old' from generate_series(1, 5) n").await;
    assert_eq!(run(&night, ITEMS, HASTY).await.tables[0].rows, 5);
    night
}

async fn notes(night: &TestNight) -> String {
    night.warehouse.one("select string_agg(id || ' ' || note, ', ' order by id) from items").await
}

#[tokio::test]
async fn changed_rows_and_new_ones_arrive_and_deleted_ones_stay() {
    let night = items().await;
    night
        .source_sql(
            r#"update items set note = 'changed', "updatedAt" = now() where id = 2;
               insert into items (id, note) values (6, 'new');
               delete from items where id = 4"#,
        )
        .await;

    run(&night, ITEMS, HASTY).await;

    assert_eq!(notes(&night).await, "1 old, 2 changed, 3 old, 4 old, 5 old, 6 new");
    let rows = r#"select id, "updatedAt", note from items where id <> 4 order by id"#;
    assert_eq!(night.warehouse.rows(rows).await, night.source.rows(rows).await);
}

/// `now()` is when the transaction began. The first one writes before the night and commits after it; the second one has not
/// even touched the table while the night runs.
#[tokio::test]
async fn changes_that_commit_late_with_an_older_cursor_arrive_the_next_night() {
    let night = items().await;
    let change = |id: u8| format!("update items set note = 'late', \"updatedAt\" = now() where id = {id}");
    let first = begun(&night, &change(1)).await;
    let second = begun(&night, "select now()").await;
    night.source_sql(&change(3).replace("late", "early")).await;

    run(&night, ITEMS, HASTY).await;

    assert_eq!(notes(&night).await, "1 old, 2 old, 3 early, 4 old, 5 old");
    end(first, "commit").await;
    end(second, &format!("{}; commit", change(2))).await;
    run(&night, ITEMS, HASTY).await;
    assert_eq!(notes(&night).await, "1 late, 2 late, 3 early, 4 old, 5 old");
}

#[tokio::test]
async fn a_rolled_back_number_leaves_a_gap_and_nothing_waits_for_it() {
    let night = nine_answers().await;
    let first = begun(&night, "insert into answers (note) values ('never')").await;
    night.source_sql("insert into answers (note) values ('early')").await;

    let outcome = run_and_meanwhile(&night, ANSWERS, async {
        end(first, "rollback").await;
    })
    .await;

    assert_eq!((outcome.tables[0].rows, settled(&night, "answers").await.as_str()), (1, "11"));
    assert_eq!(ids(&night).await, "1 2 3 4 5 6 7 8 9 11");
}
