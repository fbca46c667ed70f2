//! Looks at both sides before anything is changed: what `check` and `plan` print, and what guards the full stage.

use serde::Serialize;

use super::backup::Purpose;
use super::disk::Disk;
use super::enrich;
use super::full::source::Source;
use super::incremental::{self, Prediction};
use super::plan::{Finding, Plan, Treatment, World, plan};
use super::publishing::{Choice, Publishes, choose};
use crate::adapters::ledger::Ledger;
use crate::adapters::postgres::catalog::{self, SwapFacts, TableSize};
use crate::adapters::postgres::tools::Tools;
use crate::adapters::postgres::{Database, Session};
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::TableName;
use crate::outcome::Skipped;

/// What the night would do, and what forbids it.
#[derive(Debug, Serialize)]
pub struct Inspection {
    /// What forbids the night.
    pub problems: Vec<Finding>,
    /// Worth knowing.
    pub notes: Vec<Finding>,
    /// Each table of the source.
    pub tables: Vec<PlannedTable>,
    /// How it would be published; none where one of the sides is not known.
    pub publish: Option<Publishes>,
    /// The warehouse's objects that would be replaced.
    pub would_drop: Vec<String>,
    /// What would be left out.
    pub left_out: Vec<Skipped>,
}

/// What the night would do with a table.
#[derive(Debug, Serialize)]
pub struct PlannedTable {
    /// Which one.
    pub table: TableName,
    /// `replaced`, `first load`, `incremental`, `untouched`.
    pub treatment: &'static str,
    /// The planner's estimate of its rows; an archive does not say.
    pub rows_estimate: Option<i64>,
    /// Bytes on disk; an archive does not say.
    pub bytes_estimate: Option<i64>,
    /// Why it is not simply replaced; empty where it is.
    pub reason: &'static str,
}

/// Both sides, looked at.
#[derive(Debug)]
pub struct Examined {
    source: Option<Source>,
    plan: Plan,
    world: World,
    choice: Option<Choice>,
    problems: Vec<(ErrorKind, Finding)>,
    notes: Vec<Finding>,
}

/// Looks at both sides and plans the night; changes nothing.
///
/// # Errors
/// None of a side's own: what is wrong with a side is a problem among the others.
pub async fn examine(config: &Config, purpose: Purpose) -> Result<Examined> {
    let mut problems = Vec::new();
    let mut notes = Vec::new();
    let source = keep(&mut problems, "source", open_source(config, purpose).await);
    let warehouse = keep(&mut problems, "warehouse", read_warehouse(config, &mut notes).await);
    keep(&mut problems, "databases", two_databases(config).await);
    keep(&mut problems, "ENRICHMENT_DIR", enrich::check(config).await);
    let known = warehouse.is_some();
    let Warehouse { world, swap_facts, disk } = warehouse.unwrap_or_default();
    if let Some(source) = &source {
        keep(&mut problems, "WORK_DIR", source.fits());
        note_backup(source, &mut notes);
    }
    let plan = match &source {
        // Without the warehouse there is nothing to plan against.
        Some(source) if known => plan(&source.archive.entries, &config.replication.modes, &world),
        _ => Plan::default(),
    };
    let mut choice = None;
    if let Some(source) = source.as_ref().filter(|_| known) {
        let room = keep(&mut problems, "WAREHOUSE_QUOTA", Disk::room(disk, source, &plan, &world).await);
        let mode = config.replication.publishing.mode;
        let chosen =
            choose(mode, &source.archive.entries, &plan, &world, &swap_facts, room.flatten().as_ref());
        let refused = |reasons: Vec<Finding>| {
            problems.extend(reasons.into_iter().map(|reason| (ErrorKind::Refused, reason)));
        };
        choice = chosen.map_err(refused).ok();
        notes.extend(choice.iter().flat_map(|choice| choice.notes(mode)));
    }
    problems.extend(plan.problems.iter().map(|problem| (ErrorKind::Refused, problem.clone())));
    let missing = source.iter().flat_map(|source| source.missing_rows(plan.loaded()));
    problems.extend(missing.map(|problem| (ErrorKind::Schema, problem)));
    note_versions(source.as_ref(), &world, &mut notes);
    Ok(Examined { source, plan, world, choice, problems, notes })
}

/// An error of one side becomes a problem, so that the other side is still looked at.
fn keep<T>(problems: &mut Vec<(ErrorKind, Finding)>, subject: &str, result: Result<T>) -> Option<T> {
    result
        .map_err(|error| {
            let hint = error.operator_hint().unwrap_or_default().to_owned();
            problems.push((error.kind(), Finding::new(subject, error.to_string(), hint)));
        })
        .ok()
}

async fn open_source(config: &Config, purpose: Purpose) -> Result<Source> {
    let tools = Tools::find(config.replication.pg_bin_dir.as_deref()).await?;
    Source::open(config, &tools, purpose).await
}

/// What is known of the warehouse.
#[derive(Default)]
struct Warehouse {
    world: World,
    swap_facts: SwapFacts,
    disk: Option<Disk>,
}

async fn read_warehouse(config: &Config, notes: &mut Vec<Finding>) -> Result<Warehouse> {
    let warehouse = Database::new(&config.databases.warehouse, "warehouse")?;
    let mut session = warehouse.connect().await?;
    may_create(&mut session).await?;
    // The types in a function's signature are qualified then, as they are in an archive.
    session.execute("set search_path = ''").await?;
    let mut world = World {
        objects: catalog::objects(&mut session).await?,
        schemas: catalog::names(&mut session, "select nspname::text from pg_namespace")
            .await?
            .into_iter()
            .collect(),
        available_extensions: catalog::names(&mut session, "select name::text from pg_available_extensions")
            .await?
            .into_iter()
            .collect(),
        closed_schemas: catalog::names(
            &mut session,
            "select nspname::text from pg_namespace where not has_schema_privilege(oid, 'CREATE')",
        )
        .await?
        .into_iter()
        .collect(),
        server_version: catalog::identity(&mut session).await?.server_version,
        ..World::default()
    };
    if let Some(ledger) = Ledger::open_existing(&warehouse).await? {
        world.adopted = ledger.adopted().await?;
        world.content_tables =
            ledger.content_tables().await?.into_iter().map(|content| content.table).collect();
        world.brought =
            ledger.live_objects().await?.into_iter().map(|object| (object.kind, object.identity)).collect();
        world.stored_schemas = ledger.stored_schemas().await?.into_iter().collect();
        // Nobody reads them there: they neither stand in the way nor stay.
        world.objects.retain(|object| !world.stored_schemas.contains(&object.schema_name));
    }
    let swap_facts = catalog::swap_facts(&mut session).await?;
    // One that a night left in its unfinished copy goes with it.
    let here = swap_facts.extensions.iter().filter(|one| !world.stored_schemas.contains(&one.schema_name));
    world.extensions = here.map(|extension| extension.name.clone()).collect();
    let disk = Disk::ask(&mut session, config.replication.publishing.quota).await?;
    if world.adopted.is_none() {
        notes.push(Finding::new("warehouse", "no night was here before", ""));
    }
    session.close().await;
    Ok(Warehouse { world, swap_facts, disk })
}

async fn may_create(session: &mut Session) -> Result<()> {
    let may =
        catalog::text(session, "select has_database_privilege(current_database(), 'CREATE')::text").await?;
    if may == "true" {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Privilege, "the role may not create schemas in the warehouse")
        .hint("as the database's owner: GRANT CREATE ON DATABASE ... TO the role"))
}

/// Refuses where both URLs lead to one database. Asked before anything is written, the ledger included.
///
/// # Errors
/// They do. A side that cannot be reached is no error here: whoever needs it says so.
pub async fn two_databases(config: &Config) -> Result<()> {
    let Some(source_url) = &config.databases.source else { return Ok(()) };
    let (source, warehouse) =
        (Database::new(source_url, "source")?, Database::new(&config.databases.warehouse, "warehouse")?);
    let Some(how) = are_one(&source, &warehouse).await? else { return Ok(()) };
    Err(Error::new(ErrorKind::Refused, format!("source and warehouse are the same database ({how})"))
        .hint("SOURCE_DATABASE_URL and TARGET_DATABASE_URL must name two databases"))
}

fn note_backup(source: &Source, notes: &mut Vec<Finding>) {
    let Some(found) = source.found() else { return };
    notes.push(Finding::new("BACKUP_SOURCE", found.describe(), ""));
    notes.extend(found.remark.iter().map(|remark| Finding::new("BACKUP_SOURCE", remark.clone(), "")));
}

/// How it is known that two URLs lead to one database; none where they do not, or where one of the two cannot be reached.
///
/// # Errors
/// A server cannot be asked.
pub(super) async fn are_one(one: &Database, other: &Database) -> Result<Option<&'static str>> {
    let (Ok(mut at_one), Ok(mut at_other)) = (one.connect().await, other.connect().await) else {
        return Ok(None);
    };
    let (first, second) = (catalog::identity(&mut at_one).await?, catalog::identity(&mut at_other).await?);
    let same_cluster =
        first.system_identifier.is_some() && first.system_identifier == second.system_identifier;
    // A standby has the identifier of its primary: writing to one is reading from the other.
    if same_cluster && first.database_oid == second.database_oid {
        return Ok(Some("same system identifier and database oid"));
    }
    let is_seen = first.database_oid == second.database_oid
        && catalog::sees_lock_of(&mut at_one, &mut at_other).await?;
    Ok(is_seen.then_some("a lock taken in one is seen in the other"))
}

fn note_versions(source: Option<&Source>, warehouse: &World, notes: &mut Vec<Finding>) {
    let (Some(source), to) = (source, warehouse.server_version / 10_000) else { return };
    let from =
        source.archive.header.server_version.split('.').next().and_then(|major| major.parse::<i32>().ok());
    if let Some(from) = from.filter(|from| to > 0 && *from > to) {
        let text = format!(
            "PostgreSQL {from}, newer than the warehouse's {to}: what only the newer one knows cannot be made"
        );
        notes.push(Finding::new("source", text, "upgrade the warehouse first"));
    }
}

impl Examined {
    /// Lets the night go on, or refuses with every problem at once.
    ///
    /// # Errors
    /// There are problems.
    pub fn admit(self) -> Result<(Source, Plan, Choice)> {
        if let Some((first, _)) = self.problems.first() {
            // Trying again only helps where that helps with every one of them.
            let kind = self
                .problems
                .iter()
                .map(|(kind, _)| *kind)
                .find(|kind| !kind.is_retryable())
                .unwrap_or(*first);
            let lines: Vec<String> = self
                .problems
                .iter()
                .map(|(_, problem)| format!("{}: {}", problem.subject, problem.text))
                .collect();
            let hints: Vec<&str> = self
                .problems
                .iter()
                .map(|(_, problem)| problem.hint.as_str())
                .filter(|hint| !hint.is_empty())
                .collect();
            return Err(Error::new(kind, lines.join("; ")).hint(hints.join("; ")));
        }
        match (self.source, self.choice) {
            (Some(source), Some(choice)) => Ok((source, self.plan, choice)),
            _ => Err(Error::new(ErrorKind::Internal, "one of the sides was not looked at")),
        }
    }

    fn inspection(self) -> Inspection {
        let size = |table: &TableName| -> Option<&TableSize> {
            self.source
                .as_ref()?
                .sizes
                .iter()
                .find(|size| size.schema_name == table.schema && size.table_name == table.name)
        };
        let tables = self.plan.treatments.iter().map(|(table, treatment)| PlannedTable {
            table: table.clone(),
            treatment: treatment.name(),
            rows_estimate: size(table).and_then(|size| size.rows_estimate),
            bytes_estimate: size(table).map(|size| size.bytes),
            reason: reason(*treatment),
        });
        let mut left_out = self.plan.left_out.clone();
        for (object, number) in self.source.iter().flat_map(|source| &source.not_carried) {
            let reason = "not carried by nightferry".to_owned();
            left_out.push(Skipped { object: format!("{object}: {number}"), reason, definition: None });
        }
        let would_drop = self.world.objects.iter().filter(|object| self.plan.may_replace(object));
        Inspection {
            tables: tables.collect(),
            publish: self.choice.map(Publishes::from),
            would_drop: would_drop.map(|object| object.label()).collect(),
            left_out,
            problems: self.problems.into_iter().map(|(_, problem)| problem).collect(),
            notes: self.notes,
        }
    }
}

fn reason(treatment: Treatment) -> &'static str {
    match treatment {
        Treatment::Replaced => "",
        Treatment::FirstLoad => "incremental, but the warehouse lacks it: loaded whole this once",
        Treatment::Incremental => "incremental in BACKUP_MODE: the next stage brings it up to date",
        Treatment::Untouched => "none in BACKUP_MODE, or adopted as kept",
    }
}

/// What `check` and `plan` print; changes nothing.
///
/// # Errors
/// As [`examine`].
pub async fn inspect(config: &Config) -> Result<Inspection> {
    let mut examined = examine(config, Purpose::Look).await?;
    // A side that cannot be reached is a problem already.
    if examined.source.is_some() {
        let prediction = keep(&mut examined.problems, "BACKUP_MODE", incremental::predict(config).await);
        let Prediction { problems, notes } = prediction.unwrap_or_default();
        examined.problems.extend(problems);
        examined.notes.extend(notes);
    }
    Ok(examined.inspection())
}
