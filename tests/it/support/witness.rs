//! The witness in a warehouse (`witness.sql`): who wrote when, and gates at which the test holds whoever comes.

use sqlx::postgres::PgConnection;

use super::{TestDatabase, TestNight, execute_on, rows_on, until};

/// A warehouse that is watched.
#[derive(Debug)]
pub(crate) struct Witness {
    warehouse: TestDatabase,
}

impl Witness {
    /// Watches the warehouse of a night that has not run yet.
    pub(crate) async fn of(night: &TestNight) -> Self {
        night.warehouse_sql_as_superuser(include_str!("witness.sql")).await;
        Self { warehouse: night.warehouse_seen_by_superuser().clone() }
    }

    /// Holds everybody who comes to a place, until the gate is dropped.
    pub(crate) async fn hold(&self, place: &str) -> Gate {
        Gate::of(&self.warehouse, &format!("select pg_advisory_lock(77, hashtext('{place}'))"), place).await
    }

    /// No two attempts of any stage have written at a time, and no two nights in turns.
    pub(crate) async fn assert_one_writer(&self) {
        let two = self.warehouse.rows("select * from witness.two_writers").await;
        assert!(two.is_empty(), "two writers at a time: {two:#?}\n{:#?}", self.transactions().await);
        let two = self.warehouse.rows("select * from witness.two_nights").await;
        assert!(
            two.is_empty(),
            "the stages of two nights are mixed: {two:#?}\n{:#?}",
            self.transactions().await
        );
    }

    /// How many transactions wrote to the warehouse, and how many of them did not say of which run they were.
    pub(crate) async fn counted(&self) -> (u64, u64) {
        let sql = "select count(*), count(*) filter (where run_id is null) from witness.transactions";
        let row = self.warehouse.one(sql).await;
        let (all, nameless) = row.split_once('|').unwrap();
        (all.parse().unwrap(), nameless.parse().unwrap())
    }

    /// The last transactions, for a test that fails.
    pub(crate) async fn transactions(&self) -> Vec<String> {
        let sql = "select * from (select first, last, first_at, last_at, pid, session, run_id, stage, attempt, left(places, 80)
                   from witness.transactions order by first desc limit 300) t order by first";
        self.warehouse.rows(sql).await
    }
}

/// A place that the test holds.
#[derive(Debug)]
pub(crate) struct Gate {
    session: PgConnection,
    place: String,
}

impl Gate {
    /// Closed by this statement, which takes what others will wait for.
    pub(crate) async fn of(database: &TestDatabase, closing: &str, place: &str) -> Self {
        let mut session = database.connect().await;
        execute_on(&mut session, closing).await;
        Self { session, place: place.to_owned() }
    }

    /// Comes back when somebody waits here.
    pub(crate) async fn reached(&mut self) {
        let what = format!("somebody to come to {:?}", self.place);
        until(&what, async || self.is_reached().await.then_some(())).await;
    }

    /// Whether somebody waits here.
    pub(crate) async fn is_reached(&mut self) -> bool {
        const IS_WAITING: &str = "select count(*) > 0 from pg_locks where not granted and pg_backend_pid() = any (pg_blocking_pids(pid))";
        rows_on(&mut self.session, IS_WAITING).await == ["t"]
    }
}
