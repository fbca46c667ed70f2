//! One night of a test: a fresh source, a fresh warehouse, the configuration between them, and the ways to run it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use nightferry::adapters::ledger::Origin;
use nightferry::config::{Config, Variables};
use nightferry::error::Result;
use nightferry::ids::Stage;
use nightferry::outcome::StageOutcome;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::{Cluster, TestDatabase};

/// A source, a warehouse and a working folder of one's own.
#[derive(Debug)]
pub(crate) struct TestNight {
    /// The source, seen through its owner.
    pub(crate) source: TestDatabase,
    /// The warehouse, seen through its owner, who is no superuser.
    pub(crate) warehouse: TestDatabase,
    source_as_superuser: TestDatabase,
    warehouse_as_superuser: TestDatabase,
    tools: PathBuf,
    folder: TempDir,
}

impl TestNight {
    /// Fresh databases on the shared clusters.
    pub(crate) async fn new() -> Self {
        Self::between(Cluster::of_sources(), Cluster::of_warehouses()).await
    }

    /// Fresh databases on these clusters.
    pub(crate) async fn between(sources: &Cluster, warehouses: &Cluster) -> Self {
        // In a cluster's folder, so that it goes with the cluster even when the test process is killed.
        let folder =
            tempfile::Builder::new().prefix("night-").tempdir_in(Cluster::of_warehouses().folder()).unwrap();
        std::fs::create_dir(folder.path().join("enrichment")).unwrap();
        let source = sources.new_database("source").await;
        let warehouse = warehouses.new_database("warehouse").await;
        Self {
            source_as_superuser: sources.as_superuser(&source),
            source,
            warehouse_as_superuser: warehouses.as_superuser(&warehouse),
            warehouse,
            tools: warehouses.tools().to_owned(),
            folder,
        }
    }

    /// A night whose source has every shape.
    pub(crate) async fn of_shapes() -> Self {
        let night = Self::new().await;
        night.source.psql_file(&fixture("shapes.sql"));
        night
    }

    /// Runs statements on the source.
    pub(crate) async fn source_sql(&self, sql: &str) {
        self.source.execute(sql).await;
    }

    /// Runs statements on the source as its superuser.
    pub(crate) async fn source_sql_as_superuser(&self, sql: &str) {
        self.source_as_superuser.execute(sql).await;
    }

    /// Runs statements on the warehouse.
    pub(crate) async fn warehouse_sql(&self, sql: &str) {
        self.warehouse.execute(sql).await;
    }

    /// Runs statements on the warehouse as its superuser.
    pub(crate) async fn warehouse_sql_as_superuser(&self, sql: &str) {
        self.warehouse_as_superuser.execute(sql).await;
    }

    /// The warehouse as its superuser sees it.
    pub(crate) fn warehouse_seen_by_superuser(&self) -> &TestDatabase {
        &self.warehouse_as_superuser
    }

    /// The source as its superuser sees it.
    pub(crate) fn source_seen_by_superuser(&self) -> &TestDatabase {
        &self.source_as_superuser
    }

    /// Runs a script of tests/it/fixtures on the source.
    pub(crate) fn source_fixture(&self, name: &str) {
        self.source.psql_file(&fixture(name));
    }

    /// Runs a script of tests/it/fixtures on the source as its superuser.
    pub(crate) fn source_fixture_as_superuser(&self, name: &str) {
        self.source_as_superuser.psql_file(&fixture(name));
    }

    /// Dumps the source into the night's folder; `format` is pg_dump's `custom` or `directory`.
    pub(crate) fn archive(&self, format: &str) -> String {
        let path = self.path(&format!("{format}.archive"));
        self.source.dump(format, &path);
        path.to_str().unwrap().to_owned()
    }

    /// A path in the night's own folder, which goes with the night.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The variables of this night; `extra` adds and replaces. The folder of enrichment files is empty.
    pub(crate) fn variables(&self, extra: &[(&str, &str)]) -> BTreeMap<String, String> {
        let text = |path: PathBuf| path.to_str().unwrap().to_owned();
        let mut variables = BTreeMap::from([
            ("SOURCE_DATABASE_URL".to_owned(), self.source.url().to_owned()),
            ("TARGET_DATABASE_URL".to_owned(), self.warehouse.url().to_owned()),
            ("PG_BIN_DIR".to_owned(), text(self.tools.clone())),
            ("ENRICHMENT_DIR".to_owned(), text(self.path("enrichment"))),
            ("WORK_DIR".to_owned(), text(self.folder.path().to_owned())),
        ]);
        variables.extend(extra.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        variables
    }

    /// The same, read into the product's configuration.
    pub(crate) fn config(&self, extra: &[(&str, &str)]) -> Config {
        let variables = self.variables(extra);
        let pairs = variables.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        Config::load(&Variables::from_pairs(pairs)).unwrap()
    }

    /// Runs one stage in the foreground, as `nightferry run <stage>` does.
    ///
    /// # Errors
    /// The stage failed.
    pub(crate) async fn try_run(&self, stage: Stage, extra: &[(&str, &str)]) -> Result<StageOutcome> {
        run_stage(&self.config(extra), stage).await
    }

    /// Runs one stage, which must end well.
    pub(crate) async fn run(&self, stage: Stage, extra: &[(&str, &str)]) -> StageOutcome {
        self.try_run(stage, extra).await.unwrap_or_else(|error| panic!("{stage} failed: {error}"))
    }

    /// Runs the incremental stage on table `answers` from this source, which must end well.
    pub(crate) async fn answers_from(&self, source: &TestDatabase) -> StageOutcome {
        let extra = [("BACKUP_MODE", r#"{"answers":"incremental"}"#), ("SOURCE_DATABASE_URL", source.url())];
        self.run(Stage::IncrementalReplication, &extra).await
    }

    /// The ids of the warehouse's table `answers`, and up to where it is settled.
    pub(crate) async fn answers_and_settled(&self) -> String {
        let sql = "select string_agg(id::text, ' ' order by id) || ', settled ' ||
            (select coalesce(settled[1], 'nowhere') from nightferry.increments where table_name = 'answers') from answers";
        self.warehouse.one(sql).await
    }

    /// Runs the full stage, which must end well.
    pub(crate) async fn full(&self, extra: &[(&str, &str)]) -> StageOutcome {
        self.run(Stage::FullReplication, extra).await
    }

    /// Runs the binary to its end in this night's environment and nothing else but `PATH`.
    pub(crate) async fn binary(&self, arguments: &[&str], extra: &[(&str, &str)]) -> Output {
        let mut command = self.command(arguments, extra);
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    /// The binary in this night's environment and working folder, to be started by the test.
    pub(crate) fn command(&self, arguments: &[&str], extra: &[(&str, &str)]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nightferry"));
        command.args(arguments).current_dir(self.folder.path()).env_clear();
        command.envs(std::env::var_os("PATH").map(|path| ("PATH", path))).envs(self.variables(extra));
        command
    }
}

/// A script of tests/it/fixtures.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures").join(name)
}

/// The one place where the tests enter the product as a library.
async fn run_stage(config: &Config, stage: Stage) -> Result<StageOutcome> {
    let (mut outcomes, result) =
        nightferry::jobs::run_now(config, &[stage], Origin::Command, &CancellationToken::new()).await;
    result.map(|()| outcomes.remove(0).1)
}
