//! Worker processes on a tiny night, real servers around them, and the account at the end: each night once, never two writers.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nightferry::adapters::queue::Queues;
use nightferry::ids::{RunId, Stage};
use nightferry::jobs::Jobs;
use serde_json::{Value, json};

use crate::support::{
    Cluster, ContentApi, Gate, Proxy, RedisServer, TestNight, Webhook, Witness, WorkerProcess, until,
};

/// A night of two tables, of which each part can be held by the test: see [`Place`].
const SOURCE: &str = "
    create function public.seen(place text) returns boolean language plpgsql as $$
    begin
        if to_regprocedure('witness.seen(text)') is not null then
            execute 'select witness.seen($1)' using place;
        end if;
        return true;
    end $$;
    create function public.key_of(id int) returns int immutable language plpgsql as $$
    begin
        -- No deferred trigger fires while an index is built: the witness sees the command, and this is only a gate.
        if to_regprocedure('witness.gate(text)') is not null then
            execute 'select witness.gate($1)' using 'index';
        end if;
        return id;
    end $$;
    create table users (id int primary key, name text, check (public.seen('copy users')));
    create table answers (id int primary key, body text, check (public.seen('copy answers')));
    create index users_key on users (public.key_of(id));
    insert into users values (1, 'one'), (2, 'two');
    insert into answers values (1, 'first')";

const ENRICHMENT: &str = "-- needs: users\nselect public.seen('enrich');\n";

/// Where a night can be held in each of its stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// pg_dump reads the source's catalog.
    Dump,
    /// Rows of the full stage are on their way.
    CopyOfUsers,
    /// An index is built.
    Index,
    /// A file of the operator's.
    Enrichment,
    /// Rows of the incremental stage are on their way.
    CopyOfAnswers,
    /// The content API does not answer.
    Content,
    /// The endpoint does not answer.
    Endpoint,
}

impl Place {
    /// One in each stage of the night.
    pub(crate) const OF_STAGES: [Self; 4] =
        [Self::CopyOfUsers, Self::CopyOfAnswers, Self::Content, Self::Endpoint];

    /// The stage that comes here.
    pub(crate) fn stage(self) -> Stage {
        match self {
            Self::Dump | Self::CopyOfUsers | Self::Index | Self::Enrichment => Stage::FullReplication,
            Self::CopyOfAnswers => Stage::IncrementalReplication,
            Self::Content => Stage::LearningContentReplication,
            Self::Endpoint => Stage::Notification,
        }
    }
}

/// A place that is held. Dropped, it is open.
pub(crate) enum Held<'a> {
    Gate(Gate),
    Peer { way: &'a Proxy, before: usize },
}

impl Held<'_> {
    /// Comes back when a stage has come here.
    pub(crate) async fn reached(&mut self) {
        match self {
            Self::Gate(gate) => gate.reached().await,
            Self::Peer { way, before } => {
                until("a stage to ask its peer", async || (way.accepted() > *before).then_some(())).await;
            }
        }
    }
}

impl Held<'_> {
    /// Comes back when nobody waits here any more, since the server has missed its client.
    pub(crate) async fn left(&mut self) {
        if let Self::Gate(gate) = self {
            until("the server to miss a client", async || (!gate.is_reached().await).then_some(())).await;
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Self::Peer { way, .. } = self {
            way.open();
        }
    }
}

/// The servers, the peers and the settings that all workers share.
pub(crate) struct Crew {
    pub(crate) night: TestNight,
    pub(crate) witness: Witness,
    redis: Option<RedisServer>,
    content: (ContentApi, Proxy),
    endpoint: (Webhook, Proxy),
    /// It asked for all that `endpoint` did not.
    listener: Webhook,
    variables: BTreeMap<&'static str, String>,
    started: Cell<u32>,
    logs: PathBuf,
}

impl Crew {
    /// On a Redis that keeps what it was told.
    pub(crate) async fn on_redis() -> Self {
        Self::new(TestNight::new().await, Some(RedisServer::start_persistent())).await
    }

    /// The same, between servers that the test may crash.
    pub(crate) async fn between(sources: &Cluster, warehouses: &Cluster) -> Self {
        let night = TestNight::between(sources, warehouses).await;
        Self::new(night, Some(RedisServer::start_persistent())).await
    }

    /// On the file, for one worker.
    pub(crate) async fn on_a_file() -> Self {
        Self::new(TestNight::new().await, None).await
    }

    async fn new(night: TestNight, redis: Option<RedisServer>) -> Self {
        night.source_sql(SOURCE).await;
        std::fs::write(night.path("enrichment/01_seen.sql"), ENRICHMENT).unwrap();
        let witness = Witness::of(&night).await;
        let content = ContentApi::answering(content()).await;
        let endpoint = Webhook::answering(204).await;
        let listener = Webhook::answering(204).await;
        let content = (Proxy::before(content.port()).await, content);
        let endpoint = (Proxy::before(endpoint.port()).await, endpoint);
        let hook = format!("http://127.0.0.1:{}/hook", endpoint.0.port());
        let others = json!({"url": listener.url(), "events": ["started", "failed", "interrupted"]});
        let mut variables = BTreeMap::from([
            ("LCMS_API_URL", format!("http://127.0.0.1:{}", content.0.port())),
            ("LCMS_API_KEY", ContentApi::KEY.to_owned()),
            ("NOTIFICATIONS", json!([{"url": hook}, others]).to_string()),
            ("BACKUP_MODE", r#"{"answers":"incremental"}"#.to_owned()),
            ("PUBLISH_MODE", "swap".to_owned()),
            ("EXPONENTIAL_RETRY_DELAY", "200".to_owned()),
            ("LOG_FORMAT", "json".to_owned()),
            ("LOG_LEVEL", "debug".to_owned()),
            // A time of the year at which no test runs twice.
            ("SCHEDULE", "59 23 29 2 *".to_owned()),
        ]);
        match &redis {
            Some(redis) => variables.insert("REDIS_URL", redis.url()),
            None => variables.insert("QUEUE_FILE", night.path("queue.sqlite").to_str().unwrap().to_owned()),
        };
        let logs = night.path("logs");
        std::fs::create_dir(&logs).unwrap();
        let (content, endpoint) = ((content.1, content.0), (endpoint.1, endpoint.0));
        let crew = Self {
            night,
            witness,
            redis,
            content,
            endpoint,
            listener,
            variables,
            started: Cell::new(0),
            logs,
        };
        crew.first_copy().await;
        crew
    }

    /// Without it, the full stage would load the table of the incremental one.
    async fn first_copy(&self) {
        self.night.full(&[("BACKUP_MODE", r#"{"answers":"incremental"}"#), ("PUBLISH_MODE", "swap")]).await;
        self.night.source_sql("insert into answers values (2, 'second')").await;
    }

    /// Another setting for all workers.
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.variables.insert(name, value.to_owned());
        self
    }

    /// Another folder for the logs: one that outlives the test.
    pub(crate) fn logging_to(mut self, folder: &Path) -> Self {
        self.logs = folder.to_owned();
        self
    }

    pub(crate) fn redis(&self) -> &RedisServer {
        self.redis.as_ref().unwrap()
    }

    /// The settings; `extra` replaces.
    pub(crate) fn variables<'a>(&'a self, extra: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        self.variables
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .chain(extra.iter().copied())
            .collect()
    }

    /// A worker process.
    pub(crate) fn worker(&self) -> WorkerProcess {
        self.worker_with(&[])
    }

    /// One with settings of its own: a way through a proxy.
    pub(crate) fn worker_with(&self, extra: &[(&str, &str)]) -> WorkerProcess {
        self.process(&["worker"], extra)
    }

    /// Any command of the product, as a process.
    pub(crate) fn process(&self, arguments: &[&str], extra: &[(&str, &str)]) -> WorkerProcess {
        let number = self.started.get() + 1;
        self.started.set(number);
        let log = self.logs.join(format!("{number}-{}.log", arguments[0]));
        WorkerProcess::start(&self.night.command(arguments, &self.variables(extra)), log)
    }

    fn jobs(&self) -> Jobs {
        Jobs::new(self.night.config(&self.variables(&[])))
    }

    /// Puts a stage on its queue, which is a run of its own.
    pub(crate) async fn restart(&self, stage: Stage) -> RunId {
        self.jobs().restart(stage).await.unwrap()
    }

    /// Puts a night on the queue.
    pub(crate) async fn night(&self) -> RunId {
        self.restart(Stage::FullReplication).await
    }

    pub(crate) async fn queues(&self) -> Queues {
        Queues::open(&self.night.config(&self.variables(&[])).queue).await.unwrap()
    }

    /// Holds whoever comes to this place.
    pub(crate) async fn hold(&self, place: Place) -> Held<'_> {
        let gate = async |place| Held::Gate(self.witness.hold(place).await);
        let peer = |way: &'static str| {
            let way = if way == "content" { &self.content.1 } else { &self.endpoint.1 };
            way.hold();
            Held::Peer { way, before: way.accepted() }
        };
        match place {
            // The night's own sessions never look at it.
            Place::Dump => {
                let source = self.night.source_seen_by_superuser();
                Held::Gate(Gate::of(source, "begin; lock table pg_ts_template", "pg_dump").await)
            }
            Place::CopyOfUsers => gate("copy users").await,
            Place::Index => gate("index").await,
            Place::Enrichment => gate("enrich").await,
            Place::CopyOfAnswers => gate("copy answers").await,
            Place::Content => peer("content"),
            Place::Endpoint => peer("endpoint"),
        }
    }

    /// Waits until the run has ended in the ledger, and says how: status and kind of error.
    pub(crate) async fn ended(&self, run: &RunId) -> String {
        let sql = format!(
            "select status, error_kind from nightferry.runs where run_id = '{run}' and status <> 'running'"
        );
        until(&format!("the end of {run}"), async || self.night.warehouse.rows(&sql).await.pop()).await
    }

    /// How a run stands, where it was opened yet.
    pub(crate) async fn status_of(&self, run: &RunId) -> Option<String> {
        let sql = format!("select status from nightferry.runs where run_id = '{run}'");
        self.night.warehouse.rows(&sql).await.pop()
    }

    /// Whether a run failed since it had killed three workers.
    pub(crate) async fn is_given_up(&self, run: &RunId) -> bool {
        let sql = format!(
            "select status = 'failed' and error like '%3 workers died%' from nightferry.runs where run_id = '{run}'"
        );
        self.night.warehouse.one(&sql).await == "t"
    }

    /// Ends the session that holds the warehouse, and says how many that were. The lock's key is "nightfer" in ASCII.
    pub(crate) async fn end_the_holder(&self) -> String {
        const END_HOLDER: &str = "select count(pg_terminate_backend(pid)) from pg_locks
            where locktype = 'advisory' and granted and objsubid = 1 and classid = x'6e696768'::int and objid = x'74666572'::int
              and database = (select oid from pg_database where datname = current_database())";
        self.night.warehouse_seen_by_superuser().one(END_HOLDER).await
    }

    /// Ends every session that the product has on the warehouse, and says how many that were.
    pub(crate) async fn end_the_sessions(&self) -> String {
        const END_ALL: &str = "select count(pg_terminate_backend(pid)) from pg_stat_activity
            where datname = current_database() and application_name like 'nightferry%'";
        self.night.warehouse_seen_by_superuser().one(END_ALL).await
    }

    /// How often each stage of a run was begun, and how that ended: `full-replication 1 succeeded`.
    pub(crate) async fn attempts_of(&self, run: &RunId) -> Vec<String> {
        let sql = format!(
            "select concat_ws(' ', stage, attempt, status) from nightferry.stages where run_id = '{run}' order by started_at, attempt"
        );
        self.night.warehouse.rows(&sql).await
    }

    /// How often somebody was told of an event of a run: by delivery, not by post.
    pub(crate) async fn told_of(&self, run: &RunId, event: &str) -> usize {
        let mut deliveries = BTreeSet::new();
        let posts = [self.endpoint.0.received().await, self.listener.received().await].concat();
        for request in posts {
            let body: Value = request.body_json().unwrap();
            if body["run_id"] == run.as_str() && body["event"] == event {
                deliveries.insert(request.headers["webhook-id"].to_str().unwrap().to_owned());
            }
        }
        deliveries.len()
    }

    /// The night is over, each of its stages ended well once, and the endpoint was told once.
    pub(crate) async fn assert_done_once(&self, run: &RunId) {
        assert_eq!(self.ended(run).await, "succeeded|", "{run}: {:#?}", self.attempts_of(run).await);
        let attempts = self.attempts_of(run).await;
        let good: Vec<&str> = attempts
            .iter()
            .filter(|one| one.ends_with(" succeeded"))
            .filter_map(|one| one.split(' ').next())
            .collect();
        assert_eq!(good, Stage::NIGHT.map(Stage::name), "{run}: {attempts:#?}");
        assert!(!attempts.iter().any(|one| one.ends_with(" running")), "{run}: {attempts:#?}");
        assert_eq!(self.told_of(run, "succeeded").await, 1, "{run}");
        // The news of the beginning may be on its way, or have gone with Redis's data.
        assert!(self.told_of(run, "started").await <= 1, "{run}");
        assert_eq!(self.told_of(run, "failed").await + self.told_of(run, "interrupted").await, 0, "{run}");
        self.is_off_the_queues(run).await;
    }

    /// Waits until no job of the run is on any queue: its last one is acknowledged a moment after the ledger has the end.
    pub(crate) async fn is_off_the_queues(&self, run: &RunId) {
        let queues = self.queues().await;
        until(&format!("the queues to be done with {run}"), async || {
            (!queues.is_alive(run).await.unwrap()).then_some(())
        })
        .await;
    }

    /// Waits until no statement of the product is at work on either server, and says for how long.
    pub(crate) async fn no_statement_is_left(&self) -> Duration {
        const LEFT: &str = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
            and application_name ~ '^(nightferry|pg_dump|pg_restore)' and state <> 'idle'";
        let start = std::time::Instant::now();
        for database in [self.night.source_seen_by_superuser(), self.night.warehouse_seen_by_superuser()] {
            until("the statements on a server to end", async || {
                (database.one(LEFT).await == "0").then_some(())
            })
            .await;
        }
        start.elapsed()
    }
}

/// What the content API has.
fn content() -> Value {
    json!({
        "areas": [{"id": "a1", "name": "Area"}], "attachments": [], "competences": [], "tubes": [],
        "skills": [], "challenges": [], "courses": [], "tutorials": []
    })
}
