//! Step **finish**: what may only come once rows and indexes are there: late views, rules, policies, triggers, sequence
//! values, materialized views, comments.

use std::collections::BTreeSet;
use std::time::Instant;

use super::aside::begin_script;
use super::leaving::attempt;
use super::load::{build_within, is_index};
use super::schema::Built;
use super::source::Facts;
use crate::adapters::ledger::Recorder;
use crate::adapters::postgres::archive::{Archive, Entry};
use crate::adapters::postgres::{Database, Session, catalog, ident};
use crate::error::Result;
use crate::ids::TableName;
use crate::outcome::{ObjectOutcome, Skipped};
use crate::replication::plan::{Plan, arrives_as, place};

/// Makes what is left but for the rows of materialized views.
///
/// # Errors
/// An object cannot be made or filled.
pub(super) async fn run(
    warehouse: &Database,
    archive: &Archive,
    plan: &Plan,
    built: &Built,
    facts: &Facts,
    recorder: &Recorder,
) -> Result<()> {
    let aside = &built.aside;
    let late: Vec<&Entry> =
        built.made_of(archive, &plan.after).filter(|entry| !is_defined_by_the_catalog(entry)).collect();
    let mut inside = aside.begin(warehouse).await?;
    for entry in late.iter().filter(|entry| !matches!(entry.kind.name(), "COMMENT" | "ROW SECURITY")) {
        inside
            .session
            .execute(&entry.definition)
            .await
            .map_err(|error| error.context(format!("cannot make {}", entry.label())))?;
    }
    let late_names: BTreeSet<_> = late.iter().filter_map(|entry| arrives_as(entry)).collect();
    let mut made = catalog::objects(&mut inside.session).await?;
    made.retain(|object| late_names.contains(&place(object)));
    aside.commit_with(inside, &made).await?;

    let mut session = begin_script(warehouse).await?;
    let loaded: BTreeSet<i64> = built.tables.iter().map(|table| table.oid).collect();
    // Indexes of materialized views, which no table's rows wait for.
    let of_views = |relation: &i64, partitioned: bool| !loaded.contains(relation) && !partitioned;
    for definition in
        built.definitions.iter().filter(|d| is_index(d) && of_views(&d.relation, d.is_partitioned))
    {
        build_within(&mut session, definition, recorder).await?;
    }
    for definition in built.definitions.iter().filter(|definition| definition.kind.starts_with("TRIGGER")) {
        build_within(&mut session, definition, recorder).await?;
    }
    set_sequences(&mut session, archive, plan, built, facts).await?;
    session.execute("commit").await?;

    let mut inside = aside.begin(warehouse).await?;
    for entry in late.iter().filter(|entry| entry.kind.name() == "COMMENT") {
        comment(&mut inside.session, entry, recorder).await?;
    }
    aside.commit(inside).await?;
    session.close().await;
    Ok(())
}

/// Made from the catalog's own definition, not from the archive's text.
fn is_defined_by_the_catalog(entry: &Entry) -> bool {
    matches!(entry.kind.name(), "INDEX" | "INDEX ATTACH" | "CONSTRAINT" | "FK CONSTRAINT" | "TRIGGER")
}

/// A comment may be on a foreign key that `RESTORE_FK_CONSTRAINTS` left out.
async fn comment(session: &mut Session, entry: &Entry, recorder: &Recorder) -> Result<()> {
    match attempt(session, &entry.definition).await? {
        Ok(()) => Ok(()),
        Err(error) => {
            recorder
                .skipped(Skipped { object: entry.label(), reason: error.to_string(), definition: None })
                .await
        }
    }
}

/// Sets the sequences that the archive made, those of identity columns included.
async fn set_sequences(
    session: &mut Session,
    archive: &Archive,
    plan: &Plan,
    built: &Built,
    facts: &Facts,
) -> Result<()> {
    let made: BTreeSet<TableName> = built
        .made_of(archive, &plan.before)
        .filter(|entry| entry.kind.name() == "SEQUENCE")
        .filter_map(Entry::table_name)
        .collect();
    for value in facts.sequences.iter().filter(|value| made.contains(&value.sequence)) {
        let name = ident::literal(&ident::table(&built.aside.place(&value.sequence)));
        session
            .execute(&format!("select pg_catalog.setval({name}, {}, {})", value.value, value.is_called))
            .await
            .map_err(|error| error.context(format!("cannot set sequence {}", value.sequence)))?;
    }
    Ok(())
}

/// Fills the materialized views in the archive's order, in which none comes before what it reads.
///
/// # Errors
/// One cannot be filled.
pub(super) async fn refresh(
    warehouse: &Database,
    archive: &Archive,
    built: &Built,
    facts: &Facts,
    recorder: &Recorder,
) -> Result<()> {
    let mut session = warehouse.connect().await?;
    let made = |entry: &&Entry| {
        entry.kind.name() == "MATERIALIZED VIEW"
            && (!built.left_out.contains(&entry.id) || built.held_back.contains(&entry.id))
    };
    let ours = archive
        .entries
        .iter()
        .filter(made)
        .filter_map(Entry::table_name)
        .filter(|name| facts.populated.contains(name));
    let there: BTreeSet<TableName> = catalog::objects(&mut session)
        .await?
        .iter()
        .filter(|object| object.kind == "materialized view")
        .map(|object| object.name())
        .collect();
    let ours = ours.map(|name| (built.aside.place(&name), name));
    for (place, name) in ours.filter(|(place, _)| there.contains(place)) {
        let start = Instant::now();
        if built.aside.has_functions() {
            // What the view calls looks names up now.
            let mut inside = built.aside.begin(warehouse).await?;
            inside.session.execute(&format!("refresh materialized view {}", ident::table(&name))).await?;
            built.aside.commit(inside).await?;
        } else {
            session.execute(&format!("refresh materialized view {}", ident::table(&place))).await?;
        }
        let kind = "MATERIALIZED VIEW DATA".to_owned();
        recorder
            .object(ObjectOutcome { kind, name: name.name.clone(), table: name, duration: start.elapsed() })
            .await?;
    }
    session.close().await;
    Ok(())
}

/// In place: the last try for what others have over the copy, enrichment included.
///
/// # Errors
/// The warehouse fails.
pub(super) async fn others_come_back(warehouse: &Database, built: &Built, recorder: &Recorder) -> Result<()> {
    let mut session = begin_script(warehouse).await?;
    let refresh = built.leaving.come_back_at_last(&mut session, recorder).await?;
    session.execute("commit").await?;
    refresh_theirs(&mut session, &refresh, recorder).await?;
    session.close().await;
    Ok(())
}

/// Fills the materialized views of others; one that cannot be filled is named.
async fn refresh_theirs(session: &mut Session, identities: &[String], recorder: &Recorder) -> Result<()> {
    for identity in identities {
        if let Err(error) = session.execute(&format!("refresh materialized view {identity}")).await {
            let object = format!("rows of materialized view {identity}");
            recorder.skipped(Skipped { object, reason: error.to_string(), definition: None }).await?;
        }
    }
    Ok(())
}

/// The statements that switch row security on, where the source has it, each with what it is: the last of all, since from then
/// on the owner may not see, and so not count, every row.
pub(super) fn row_security(archive: &Archive, plan: &Plan, built: &Built) -> Vec<(String, String)> {
    built
        .made_of(archive, &plan.after)
        .filter(|entry| entry.kind.name() == "ROW SECURITY")
        .map(|entry| (entry.label(), entry.definition.clone()))
        .collect()
}

/// Runs them in place.
///
/// # Errors
/// The warehouse cannot be reached.
pub(super) async fn secure(warehouse: &Database, statements: &[(String, String)]) -> Result<()> {
    let mut session = begin_script(warehouse).await?;
    for (what, statement) in statements {
        session.execute(statement).await.map_err(|error| error.context(what))?;
    }
    session.execute("commit").await?;
    session.close().await;
    Ok(())
}
