//! `nightferry rollback`: the previous generation live again, with the means of a night's publish. What was live is the previous
//! one afterwards, so that the same command brings it back.
//!
//! Tables that are kept stay as they are and move over: their rows are of no generation. The decisions are pure; see [`World`].

use std::collections::BTreeSet;
use std::time::Duration;

use super::full::aside::Aside;
use super::full::publish::preview::{Preview, preview};
use super::full::publish::{self, Ground, Incoming, leftovers};
use super::plan::shorten;
use super::tables::{add_partitions, resolve};
use crate::adapters::ledger::{Disposition, Generation, Ledger, ObjectRow, StoredSchema};
use crate::adapters::postgres::catalog::{self, Dependency, Object};
use crate::adapters::postgres::comparing;
use crate::adapters::postgres::generation::Stored;
use crate::adapters::postgres::ident::ident;
use crate::adapters::postgres::{Database, Session};
use crate::config::{BackupModes, Config};
use crate::error::{Error, ErrorKind, Result};
use crate::events;
use crate::ids::TableName;
use crate::outcome::{Skipped, millis};

/// What a rollback did, or would do.
#[derive(Debug, Clone)]
pub struct Rollback {
    /// The generation that becomes live.
    pub incoming: Generation,
    /// The one that was live, and is the previous one from then on.
    pub outgoing: Generation,
    /// The schemas that are exchanged.
    pub schemas: Vec<String>,
    /// The tables in them that stay as they are.
    pub staying: Vec<String>,
    /// What leans on the copy and is there for the incoming generation already.
    pub following: Vec<String>,
    /// What leans on the copy and is made again over it.
    pub again: Vec<String>,
    /// What cannot come along, or not whole.
    pub broken: Vec<Skipped>,
    /// How long readers may have waited; none on a dry run.
    pub locked: Option<Duration>,
}

/// Says what a rollback would do; changes nothing.
///
/// # Errors
/// There is no previous generation, or it cannot be made live.
pub async fn foresee(config: &Config, warehouse: &Database) -> Result<Rollback> {
    match Ledger::open_existing(warehouse).await? {
        Some(ledger) => Ok(Prepared::read(config, warehouse, &ledger).await?.rollback),
        None => Err(nothing_to_go_back_to(config.replication.publishing.keep_previous)),
    }
}

/// Makes the previous generation live. Call it with the warehouse's lock held. Where it fails, what was live stays so, and the
/// command can be given again.
///
/// # Errors
/// There is no previous generation, it cannot be made live, or the warehouse fails.
pub async fn run(config: &Config, warehouse: &Database, ledger: &Ledger) -> Result<Rollback> {
    let Prepared { aside, kept, brought, missing_schemas, mut rollback } =
        Prepared::read(config, warehouse, ledger).await?;
    // What a night left that did not end well has names that are needed now; the next night would drop it anyway.
    let mut broken = leftovers::clear(warehouse, ledger, Some("next")).await?;
    make_schemas(warehouse, ledger, rollback.incoming.generation_id, &missing_schemas).await?;
    let may_replace = move |object: &Object| is_replaced(&brought, &kept, object);
    let incoming = incoming(&rollback.incoming, &aside, &may_replace);
    let ground = ground(config, warehouse, ledger);
    let ready = publish::prepare(&ground, &incoming).await?;
    broken.extend_from_slice(ready.broken());
    let published = publish::publish(&ground, &incoming, ready).await?;
    tracing::info!(
        generation = rollback.incoming.generation_id,
        previous = rollback.outgoing.generation_id,
        locked_ms = millis(published.locked),
        "{}",
        events::PUBLISH_DONE
    );
    broken.extend(published.notes);
    let named: BTreeSet<&str> = broken.iter().map(|skipped| skipped.object.as_str()).collect();
    rollback.again.retain(|object| !named.contains(object.as_str()));
    rollback.broken = broken;
    rollback.locked = Some(published.locked);
    Ok(rollback)
}

/// A rollback that can be.
struct Prepared {
    aside: Aside,
    kept: BTreeSet<TableName>,
    brought: BTreeSet<(String, String)>,
    /// Schemas that the live generation brought and the previous one has not: it gets them empty.
    missing_schemas: Vec<Stored>,
    rollback: Rollback,
}

impl Prepared {
    async fn read(config: &Config, warehouse: &Database, ledger: &Ledger) -> Result<Self> {
        let world = World::read(warehouse, ledger).await?;
        let keep_previous = config.replication.publishing.keep_previous;
        let (previous, live) = world.two_generations().ok_or_else(|| nothing_to_go_back_to(keep_previous))?;
        let kept = world.kept(&config.replication.modes);
        let brought: BTreeSet<(String, String)> =
            world.brought.iter().map(|object| (object.kind.clone(), object.identity.clone())).collect();
        world.refuse_half_a_generation(&brought, &kept)?;
        let (mut stored, missing_schemas) = world.schemas(previous.generation_id);
        stored.extend(missing_schemas.iter().cloned());
        let schemas = stored.iter().map(|one| one.home.clone()).collect();
        let mut aside = Aside::of(stored);
        if previous.moves_objects || live.moves_objects {
            aside = aside.moving(&config.replication.publishing);
        }
        let arriving: Vec<Object> = world.arriving(previous.generation_id).cloned().collect();
        aside.enter_for(&arriving, &[], &world.dependencies);

        let may_replace = |object: &Object| is_replaced(&brought, &kept, object);
        let ground = ground(config, warehouse, ledger);
        let found = preview(&ground, &incoming(previous, &aside, &may_replace)).await?;
        refuse_collisions(&found)?;
        let tables = found.staying.iter().filter(|object| object.is_table());
        let rollback = Rollback {
            incoming: previous.clone(),
            outgoing: live.clone(),
            schemas,
            staying: tables.map(|table| table.name().to_string()).collect(),
            following: found.following,
            again: found.again,
            broken: found.broken,
            locked: None,
        };
        Ok(Self { aside, kept, brought, missing_schemas, rollback })
    }
}

fn incoming<'a>(
    generation: &Generation,
    aside: &'a Aside,
    may_replace: publish::MayReplace<'a>,
) -> Incoming<'a> {
    let generation = generation.generation_id;
    Incoming { generation, aside, may_replace, last: Vec::new(), updates: Vec::new() }
}

fn ground<'a>(config: &'a Config, warehouse: &'a Database, ledger: &'a Ledger) -> Ground<'a> {
    let settings = &config.replication;
    Ground { warehouse, ledger, settings: &settings.publishing, foreign_keys: settings.foreign_keys }
}

/// What the live generation brought goes with it, but for the tables that are kept.
fn is_replaced(brought: &BTreeSet<(String, String)>, kept: &BTreeSet<TableName>, object: &Object) -> bool {
    brought.contains(&(object.kind.clone(), object.identity.clone()))
        && !(object.is_table() && kept.contains(&object.name()))
}

/// Gives the previous generation the schemas that it has not, so that those of the live one can go.
async fn make_schemas(
    warehouse: &Database,
    ledger: &Ledger,
    generation: i64,
    schemas: &[Stored],
) -> Result<()> {
    if schemas.is_empty() {
        return Ok(());
    }
    let mut session = warehouse.connect().await?;
    session.execute("begin").await?;
    for schema in schemas {
        session.execute(&format!("create schema {}", ident(&schema.stored_as))).await?;
    }
    ledger.store_schemas(&mut session, generation, schemas, true).await?;
    session.execute("commit").await?;
    session.close().await;
    Ok(())
}

fn refuse_collisions(found: &Preview) -> Result<()> {
    if let Some((kept, replaced)) = found.conflicts.first() {
        return Err(refused(format!(
            "{} stays but is a part of {}, which goes with the live copy",
            kept.label(),
            replaced.label()
        ))
        .hint("nothing was changed; detach the one that stays, then give the command again"));
    }
    if found.collisions.is_empty() {
        return Ok(());
    }
    let (tables, others): (Vec<&Object>, Vec<&Object>) =
        found.collisions.iter().partition(|object| object.is_table());
    let names =
        |objects: Vec<&Object>| shorten(&objects.iter().map(|object| object.label()).collect::<Vec<_>>());
    if tables.is_empty() {
        return Err(refused(format!(
            "the previous copy has its own {}, but tables that stay use the live one",
            names(others)
        ))
        .hint("nothing was changed; change these tables so that they do without, or rename what they use"));
    }
    Err(refused(format!("the previous copy has its own {}, which is kept now", names(tables)))
        .hint("nothing was changed; take it out of BACKUP_MODE for this command to go back to the old rows too, or rename one of the two"))
}

fn refused(text: String) -> Error {
    Error::new(ErrorKind::Refused, text)
}

fn nothing_to_go_back_to(keep_previous: bool) -> Error {
    let hint = if keep_previous {
        "a generation is kept when a night has published by a swap, until the next full stage begins (nightferry generations lists them)"
    } else {
        "KEEP_PREVIOUS is false: with true, the nights to come keep yesterday's copy"
    };
    refused("the warehouse holds no previous generation to go back to".to_owned()).hint(hint)
}

/// What is known of a warehouse before a rollback.
#[derive(Debug, Default)]
struct World {
    generations: Vec<Generation>,
    stored: Vec<StoredSchema>,
    /// All objects, those of stored generations too.
    objects: Vec<Object>,
    dependencies: Vec<Dependency>,
    /// Each partition with its parent.
    partitions: Vec<(TableName, TableName)>,
    /// What the live generation brought.
    brought: Vec<ObjectRow>,
    /// What the previous generation brought.
    previous: Vec<ObjectRow>,
    adopted: Vec<(TableName, Disposition)>,
}

impl World {
    async fn read(warehouse: &Database, ledger: &Ledger) -> Result<Self> {
        let mut session: Session = warehouse.connect().await?;
        session.execute("set search_path = ''").await?;
        let mut world = Self {
            generations: ledger.generations().await?,
            stored: ledger.stored().await?,
            objects: catalog::objects(&mut session).await?,
            dependencies: catalog::dependencies(&mut session).await?,
            partitions: comparing::partitions(&mut session).await?,
            brought: ledger.live_objects().await?,
            adopted: ledger.adopted().await?.unwrap_or_default(),
            ..Self::default()
        };
        session.close().await;
        if let Some((previous, _)) = world.two_generations() {
            let previous = previous.generation_id;
            world.previous = ledger.objects_of(previous).await?;
        }
        Ok(world)
    }

    /// The previous generation, where its schemas are known, and the live one.
    fn two_generations(&self) -> Option<(&Generation, &Generation)> {
        let of_state = |state: &str| self.generations.iter().find(|generation| generation.state == state);
        let previous = of_state("previous")?;
        let is_there = self.stored.iter().any(|one| one.generation_id == previous.generation_id);
        is_there.then_some((previous, of_state("live")?))
    }

    /// The tables that readers have.
    fn tables(&self) -> impl Iterator<Item = TableName> {
        let is_stored = |object: &&Object| self.stored.iter().any(|one| one.stored_as == object.schema_name);
        self.objects.iter().filter(move |object| object.is_table() && !is_stored(object)).map(Object::name)
    }

    /// The tables that no night replaces now, with their partitions.
    fn kept(&self, modes: &BackupModes) -> BTreeSet<TableName> {
        let tables: Vec<TableName> = self.tables().collect();
        let mut kept: BTreeSet<TableName> = BTreeSet::new();
        for (written, _) in modes.iter() {
            match resolve(written, &tables) {
                Ok(table) => {
                    kept.insert(table);
                }
                // It is not there, or several are called so: keeping one too many loses nothing.
                Err(_) => kept.extend(tables.iter().filter(|table| table.name == written).cloned()),
            }
        }
        let adopted = self.adopted.iter().filter(|(_, disposition)| *disposition == Disposition::Kept);
        kept.extend(adopted.map(|(table, _)| table.clone()));
        add_partitions(&mut kept, &self.partitions);
        kept
    }

    /// The previous generation's schemas, and those that only the live one has.
    fn schemas(&self, previous: i64) -> (Vec<Stored>, Vec<Stored>) {
        let stored = self.stored.iter().filter(|one| one.generation_id == previous && one.is_replicated);
        let stored: Vec<Stored> = stored.map(StoredSchema::names).collect();
        let of_live: BTreeSet<&str> = self.brought.iter().map(|object| object.schema_name.as_str()).collect();
        let is_missing = |schema: &&str| !schema.is_empty() && stored.iter().all(|one| one.home != *schema);
        let missing = of_live.into_iter().filter(is_missing).map(Stored::next).collect();
        (stored, missing)
    }

    /// The objects of the previous generation.
    fn arriving(&self, previous: i64) -> impl Iterator<Item = &Object> {
        let is_its = move |one: &&StoredSchema| one.generation_id == previous;
        let schemas: BTreeSet<&str> =
            self.stored.iter().filter(is_its).map(|one| one.stored_as.as_str()).collect();
        self.objects.iter().filter(move |object| schemas.contains(object.schema_name.as_str()))
    }

    /// A night that was stopped while it dropped the previous generation leaves a part of it.
    fn refuse_half_a_generation(
        &self,
        brought: &BTreeSet<(String, String)>,
        kept: &BTreeSet<TableName>,
    ) -> Result<()> {
        let Some((previous, _)) = self.two_generations() else { return Ok(()) };
        let home = |schema: &str| {
            self.stored.iter().find(|one| one.stored_as == schema).map(|one| one.schema_name.as_str())
        };
        let arriving = self.arriving(previous.generation_id).filter(|object| object.is_table());
        let mut there: BTreeSet<TableName> = arriving
            .filter_map(|table| Some(TableName::new(home(&table.schema_name)?, &table.object_name)))
            .collect();
        // What it brought and is kept since moved over to the live one.
        let stays = |object: &&Object| object.is_table() && !is_replaced(brought, kept, object);
        there.extend(self.objects.iter().filter(stays).map(Object::name));
        let tables = self.previous.iter().filter(|object| object.kind == "table");
        let gone: Vec<String> = tables
            .map(|object| TableName::new(&object.schema_name, &object.object_name))
            .filter(|table| !there.contains(table))
            .map(|table| table.to_string())
            .collect();
        if gone.is_empty() {
            return Ok(());
        }
        Err(refused(format!("the previous generation is not whole any more, it lacks {}", shorten(&gone)))
            .hint("a night that began to drop it was stopped, or somebody dropped these tables; the live copy stays"))
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn generation(generation_id: i64, state: &str) -> Generation {
        Generation {
            generation_id,
            run_id: None,
            moves_objects: false,
            mode: "swap".into(),
            state: state.into(),
            created_at: DateTime::UNIX_EPOCH,
            published_at: None,
        }
    }

    fn table(schema: &str, name: &str) -> Object {
        Object {
            class: 1,
            oid: 1,
            kind: "table".into(),
            schema_name: schema.into(),
            object_name: name.into(),
            identity: format!("{schema}.{name}"),
        }
    }

    fn world() -> World {
        let brought = |name: &str| ObjectRow::from(&table("public", name));
        World {
            generations: vec![generation(2, "live"), generation(1, "previous")],
            stored: vec![StoredSchema {
                generation_id: 1,
                state: "previous".into(),
                schema_name: "public".into(),
                stored_as: "public__previous".into(),
                is_replicated: true,
            }],
            objects: vec![
                table("public", "users"),
                table("public", "events"),
                table("public", "events_2026"),
                table("public__previous", "users"),
            ],
            partitions: vec![(TableName::new("public", "events_2026"), TableName::new("public", "events"))],
            brought: vec![brought("users"), brought("events"), brought("events_2026")],
            previous: vec![brought("users")],
            ..World::default()
        }
    }

    fn modes(text: &str) -> BackupModes {
        let variables = crate::config::Variables::from_pairs([
            ("BACKUP_MODE", text),
            ("SOURCE_DATABASE_URL", "postgres://a@b/c"),
            ("TARGET_DATABASE_URL", "postgres://a@b/d"),
        ]);
        Config::load(&variables).unwrap().replication.modes
    }

    #[test]
    fn a_table_that_is_kept_stays_with_its_partitions_and_what_was_brought_besides_goes() {
        let world = world();
        let kept = world.kept(&modes(r#"{"events":"incremental","gone":"none"}"#));
        let brought: BTreeSet<_> =
            world.brought.iter().map(|row| (row.kind.clone(), row.identity.clone())).collect();
        let goes: Vec<&str> = world
            .objects
            .iter()
            .filter(|object| is_replaced(&brought, &kept, object))
            .map(|object| object.identity.as_str())
            .collect();
        assert_eq!(goes, ["public.users"]);
    }

    #[test]
    fn a_generation_that_lacks_a_table_is_none_to_go_back_to() {
        let mut world = world();
        let (none, kept) = (BTreeSet::new(), BTreeSet::new());
        let brought: BTreeSet<_> =
            world.brought.iter().map(|row| (row.kind.clone(), row.identity.clone())).collect();
        assert!(world.refuse_half_a_generation(&brought, &kept).is_ok());
        world.previous.push(ObjectRow::from(&table("public", "orders")));
        let error = world.refuse_half_a_generation(&brought, &kept).unwrap_err();
        assert!(error.to_string().contains("public.orders"), "{error}");
        // Kept since: it is the warehouse's own, and moved over.
        world.objects.push(table("public", "orders"));
        assert!(world.refuse_half_a_generation(&none, &kept).is_ok());
    }

    #[test]
    fn a_schema_that_only_the_live_generation_has_is_given_to_the_previous_one() {
        let mut world = world();
        world.brought.push(ObjectRow::from(&table("later", "fresh")));
        let (stored, missing) = world.schemas(1);
        assert_eq!(stored, [Stored::previous("public")]);
        assert_eq!(missing, [Stored::next("later")]);
    }

    #[test]
    fn without_a_previous_generation_the_setting_that_would_keep_one_is_named() {
        let error = nothing_to_go_back_to(false);
        assert!(error.operator_hint().is_some_and(|hint| hint.contains("KEEP_PREVIOUS")));
        assert!(!nothing_to_go_back_to(true).operator_hint().unwrap().contains("KEEP_PREVIOUS"));
    }
}
