//! Step **guard**: what forbids the export, all of it at once, before anything is changed.

use std::collections::{BTreeSet, HashMap};

use super::Dumped;
use super::selection::Selection;
use crate::adapters::postgres::catalog::{self, Object, ObjectId};
use crate::adapters::postgres::exported::{self, Export, Schema};
use crate::adapters::postgres::{Database, Session, ident};
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::replication::plan::{Finding, arrives_as, place};
use crate::replication::preflight::are_one;

/// What the target holds.
pub(super) struct Held {
    pub(super) objects: Vec<Object>,
    pub(super) schemas: Vec<Schema>,
    pub(super) export: Export,
}

impl Held {
    pub(super) async fn read(session: &mut Session) -> Result<Self> {
        Ok(Self {
            export: exported::read(session).await?,
            schemas: exported::schemas(session).await?,
            objects: catalog::objects(session)
                .await?
                .into_iter()
                .filter(|object| object.schema_name != exported::SCHEMA)
                .collect(),
        })
    }

    /// What the last export brought and is still there as it was.
    pub(super) fn ours(&self) -> Vec<Object> {
        self.objects.iter().filter(|object| self.export.brought(object)).cloned().collect()
    }

    pub(super) fn has_schema(&self, name: &str) -> bool {
        self.schemas.iter().any(|schema| schema.name == name)
    }
}

/// What `check` says of a target that an export can reach.
pub(super) async fn look(config: &Config, target: &Database) -> Result<Finding> {
    refuse_our_own(config, target).await?;
    let mut session = target.connect().await?;
    let held = Held::read(&mut session).await?;
    refuse(closed_to_us(&mut session, &held, &Selection::default()).await?)?;
    session.close().await;
    let text = match held.export.exported_at {
        Some(at) => format!(
            "the target has {} objects of the export of {}",
            held.export.count(),
            at.format("%Y-%m-%d %H:%M UTC")
        ),
        None => "nothing was exported yet".to_owned(),
    };
    Ok(Finding::new("schema export", text, ""))
}

/// Looks at the target; changes nothing.
pub(super) async fn run(
    config: &Config,
    target: &Database,
    dumped: &Dumped,
    selection: &Selection<'_>,
) -> Result<()> {
    refuse_our_own(config, target).await?;
    let mut session = target.connect().await?;
    // The types in a function's signature are qualified then, as they are in an archive.
    session.execute("set search_path = ''").await?;
    let held = Held::read(&mut session).await?;
    let mut problems = foreign_warehouse(&held, dumped);
    problems.extend(closed_to_us(&mut session, &held, selection).await?);
    problems.extend(extensions(&mut session, dumped, selection).await?);
    problems.extend(in_the_way(&held, selection));
    problems.extend(leaning_on_ours(&mut session, &held).await?);
    session.close().await;
    refuse(problems)
}

fn refuse(mut problems: Vec<Finding>) -> Result<()> {
    problems.sort();
    problems.dedup();
    if problems.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> =
        problems.iter().map(|problem| format!("{}: {}", problem.subject, problem.text)).collect();
    let hints: BTreeSet<&str> = problems.iter().map(|problem| problem.hint.as_str()).collect();
    let hints: Vec<&str> = hints.into_iter().collect();
    Err(Error::new(ErrorKind::Refused, lines.join("; ")).hint(hints.join("; ")))
}

async fn refuse_our_own(config: &Config, target: &Database) -> Result<()> {
    let mut ours = vec![Database::new(&config.databases.warehouse, "warehouse")?];
    if let Some(source) = &config.databases.source {
        ours.push(Database::new(source, "source")?);
    }
    for one in ours {
        if let Some(how) = are_one(&one, target).await? {
            let text = format!("the export's target is the {} itself ({how})", one.role());
            return Err(Error::new(ErrorKind::Refused, text)
                .hint("DB_SCHEMA_EXPORTER_DATABASE_TARGET must name a third database"));
        }
    }
    Ok(())
}

fn foreign_warehouse(held: &Held, dumped: &Dumped) -> Vec<Finding> {
    let other = held.export.warehouse.iter().filter(|warehouse| **warehouse != dumped.warehouse);
    other
        .map(|_| {
            Finding::new(
                "export target",
                "it holds the schema of another warehouse",
                "name a database of its own for each warehouse in DB_SCHEMA_EXPORTER_DATABASE_TARGET; where this warehouse takes the place of the other one: drop what that one exported, and the schema nightferry_export",
            )
        })
        .collect()
}

async fn closed_to_us(session: &mut Session, held: &Held, selection: &Selection<'_>) -> Result<Vec<Finding>> {
    let may = "select has_database_privilege(current_database(), 'CREATE')::text";
    let makes_schemas =
        held.export.warehouse.is_none() || selection.schemas.iter().any(|schema| !held.has_schema(schema));
    let mut problems = Vec::new();
    if makes_schemas && catalog::text(session, may).await? != "true" {
        let hint = "as the database's owner: GRANT CREATE ON DATABASE ... TO the role";
        problems.push(Finding::new("export target", "the role may not create schemas in it", hint));
    }
    let closed = held.schemas.iter().filter(|schema| !schema.is_open);
    for schema in closed.filter(|schema| selection.schemas.contains(schema.name.as_str())) {
        problems.push(Finding::new(
            format!("schema {}", schema.name),
            "the role may not create anything in it",
            format!("as its owner: GRANT CREATE ON SCHEMA {} TO the role", ident::ident(&schema.name)),
        ));
    }
    Ok(problems)
}

/// Extensions that objects lean on, and that cannot be had or are elsewhere. Whether one may be made is seen when it is.
async fn extensions(
    session: &mut Session,
    dumped: &Dumped,
    selection: &Selection<'_>,
) -> Result<Vec<Finding>> {
    let there = exported::extensions(session).await?;
    let available = catalog::names(session, "select name::text from pg_available_extensions").await?;
    let mut problems = Vec::new();
    for name in &selection.needed_extensions {
        let subject = format!("extension {name}");
        let here = dumped.extensions.get(*name);
        match there.iter().find(|(there, _)| there == name) {
            Some((_, schema)) if here.is_some_and(|here| here != schema) => problems.push(Finding::new(
                subject,
                format!(
                    "it is in schema {schema} of the target, and in schema {} of the warehouse",
                    here.map(String::as_str).unwrap_or_default()
                ),
                "move one of them: ALTER EXTENSION ... SET SCHEMA",
            )),
            Some(_) => {}
            None if available.iter().any(|available| available == name) => {}
            None => problems.push(Finding::new(
                subject,
                "the target's server does not have it, and objects of the warehouse lean on it",
                "install its package on the target's server, or export into a server that has it",
            )),
        }
    }
    Ok(problems)
}

/// Objects of others that have the name of one that is to be made.
fn in_the_way(held: &Held, selection: &Selection<'_>) -> Vec<Finding> {
    let arriving: BTreeSet<_> = selection.objects.iter().filter_map(|entry| arrives_as(entry)).collect();
    let stands = |object: &&Object| !held.export.brought(object) && arriving.contains(&place(object));
    let finding = |object: &Object| {
        Finding::new(
            object.label(),
            "the warehouse has an object of this name, and this one is not from an export",
            "rename or drop it in the export's target, or name another database in DB_SCHEMA_EXPORTER_DATABASE_TARGET",
        )
    };
    held.objects.iter().filter(stands).map(finding).collect()
}

/// Objects of others that would go with ours.
async fn leaning_on_ours(session: &mut Session, held: &Held) -> Result<Vec<Finding>> {
    let (ours, theirs): (Vec<&Object>, Vec<&Object>) =
        held.objects.iter().partition(|object| held.export.brought(object));
    let by_id = |objects: Vec<&'_ Object>| -> HashMap<ObjectId, Object> {
        objects.into_iter().map(|object| (object.id(), object.clone())).collect()
    };
    let (ours, theirs) = (by_id(ours), by_id(theirs));
    let mut problems = Vec::new();
    for leaning in catalog::dependencies(session).await? {
        if let (Some(from), Some(to)) = (theirs.get(&leaning.from), ours.get(&leaning.to)) {
            problems.push(Finding::new(
                from.label(),
                format!("it leans on {}, which each export makes anew", to.label()),
                "drop it, or keep it in another database than the export's",
            ));
        }
    }
    Ok(problems)
}
