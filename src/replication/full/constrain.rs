//! Step **constrain**: the indexes of partitioned tables, and the foreign keys as `RESTORE_FK_CONSTRAINTS` says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::task::JoinSet;

use super::aside::Aside;
use super::load::{build, is_index, record};
use super::pool;
use super::schema::Built;
use crate::adapters::ledger::Recorder;
use crate::adapters::postgres::catalog::Definition;
use crate::adapters::postgres::{Database, Session, ident};
use crate::config::ForeignKeys;
use crate::error::Result;
use crate::ids::TableName;
use crate::outcome::Skipped;
use crate::replication::plan::{Plan, Treatment};

/// What becomes of one foreign key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyFate {
    /// Added and checked in one go: a partitioned table cannot have one that is declared only (until PostgreSQL 18).
    Whole,
    /// Declared, then checked.
    Validated,
    /// Declared only.
    NotValid(Option<String>),
    /// Left out, with the reason.
    LeftOut(String),
}

/// Decides about one foreign key (pure).
#[must_use]
pub fn fate(key: &Definition, mode: ForeignKeys, treatments: &BTreeMap<TableName, Treatment>) -> KeyFate {
    let treatment = |table: &TableName| treatments.get(table).copied();
    let referenced = key.referenced();
    if mode == ForeignKeys::Omitted {
        return KeyFate::LeftOut("RESTORE_FK_CONSTRAINTS is false".to_owned());
    }
    if treatment(&key.table()) == Some(Treatment::FirstLoad) {
        return KeyFate::LeftOut(
            "its table is incremental: a later increment may refer to rows younger than the night's copy"
                .to_owned(),
        );
    }
    let to_kept = referenced
        .filter(|table| !treatment(table).is_some_and(|treatment| treatment == Treatment::Replaced));
    if let Some(table) = to_kept {
        let reason = format!("{table} is not replaced by the night, so its rows may be older");
        return if key.is_partitioned { KeyFate::LeftOut(reason) } else { KeyFate::NotValid(Some(reason)) };
    }
    match mode {
        _ if key.is_partitioned => KeyFate::Whole,
        ForeignKeys::Validated if !key.declared_not_valid => KeyFate::Validated,
        _ => KeyFate::NotValid(None),
    }
}

/// Makes the foreign keys. Declaring is quick and one after the other; checking is by table, `jobs` at a time.
///
/// # Errors
/// A foreign key cannot be made, or its rows do not hold.
pub async fn run(
    warehouse: &Database,
    built: &Built,
    plan: &Plan,
    mode: ForeignKeys,
    jobs: usize,
    recorder: &Recorder,
) -> Result<()> {
    let mut session = warehouse.connect().await?;
    for definition in
        built.definitions.iter().filter(|definition| is_index(definition) && definition.is_partitioned)
    {
        build(&mut session, (warehouse, &built.aside), definition, recorder).await?;
    }
    for attach in built.definitions.iter().filter_map(|definition| definition.attach.as_ref()) {
        session.execute(attach).await?;
    }
    let mut to_check: BTreeMap<TableName, Vec<Definition>> = BTreeMap::new();
    let mut omitted = BTreeSet::new();
    for key in built.definitions.iter().filter(|definition| definition.kind == "FK CONSTRAINT") {
        match fate(key, mode, &plan.treatments) {
            KeyFate::Whole => build(&mut session, (warehouse, &built.aside), key, recorder).await?,
            KeyFate::Validated => {
                declare(&mut session, key).await?;
                to_check.entry(key.table()).or_default().push(key.clone());
            }
            KeyFate::NotValid(reason) => {
                let start = Instant::now();
                declare(&mut session, key).await?;
                record(key, start, recorder).await?;
                if let Some(reason) = reason {
                    let reason = format!("declared, not checked: {reason}");
                    recorder.skipped(Skipped { object: key.label(), reason, definition: None }).await?;
                }
            }
            KeyFate::LeftOut(_) if mode == ForeignKeys::Omitted => {
                omitted.insert(key.label());
            }
            KeyFate::LeftOut(reason) => {
                recorder
                    .skipped(Skipped {
                        object: key.label(),
                        reason,
                        definition: key.statements.first().cloned(),
                    })
                    .await?;
            }
        }
    }
    if !omitted.is_empty() {
        let object = format!("{} foreign keys", omitted.len());
        recorder
            .skipped(Skipped { object, reason: "RESTORE_FK_CONSTRAINTS is false".into(), definition: None })
            .await?;
    }
    session.close().await;
    check(warehouse, &built.aside, to_check, jobs, recorder).await
}

async fn declare(session: &mut Session, key: &Definition) -> Result<()> {
    for statement in &key.statements {
        session
            .execute(&format!("{statement} NOT VALID"))
            .await
            .map_err(|error| error.context(key.label()))?;
    }
    Ok(())
}

/// Two checks of one table exclude each other: each task takes a table with all its keys.
async fn check(
    warehouse: &Database,
    aside: &Aside,
    keys: BTreeMap<TableName, Vec<Definition>>,
    jobs: usize,
    recorder: &Recorder,
) -> Result<()> {
    if aside.must_always_be_entered() {
        let mut inside = aside.begin(warehouse).await?;
        for key in keys.values().flatten() {
            validate(&mut inside.session, &ident::table(&key.table()), key, recorder).await?;
        }
        return aside.commit(inside).await;
    }
    let queue = Arc::new(Mutex::new(keys.into_values().collect::<Vec<_>>()));
    let mut tasks = JoinSet::new();
    for number in 1..=jobs {
        let recorder = recorder.on(format!("check {number}"));
        let (warehouse, queue) = (warehouse.clone(), queue.clone());
        pool::spawn(&mut tasks, async move {
            let mut session = warehouse.connect().await?;
            loop {
                let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
                let Some(keys) = next else { return Ok(()) };
                for key in &keys {
                    validate(&mut session, &key.address(), key, &recorder).await?;
                }
            }
        });
    }
    pool::all(tasks).await
}

async fn validate(session: &mut Session, table: &str, key: &Definition, recorder: &Recorder) -> Result<()> {
    let start = Instant::now();
    let sql = format!("alter table {table} validate constraint {}", ident::ident(&key.name));
    session.execute(&sql).await.map_err(|error| {
        error
            .context(key.label())
            .hint("the source itself breaks this key, or set RESTORE_FK_CONSTRAINTS=not_valid")
    })?;
    record(key, start, recorder).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(from: &str, to: &str) -> Definition {
        Definition {
            kind: "FK CONSTRAINT".into(),
            relation: 1,
            schema_name: "public".into(),
            table_name: from.into(),
            name: "fk".into(),
            statements: vec![],
            attach: None,
            referenced_schema: Some("public".into()),
            referenced_table: Some(to.into()),
            declared_not_valid: false,
            is_partitioned: false,
            stored_as: None,
            home_statements: Vec::new(),
        }
    }

    fn treatments() -> BTreeMap<TableName, Treatment> {
        [
            ("users", Treatment::Replaced),
            ("answers", Treatment::Incremental),
            ("events", Treatment::FirstLoad),
            ("logs", Treatment::Untouched),
        ]
        .map(|(table, treatment)| (TableName::new("public", table), treatment))
        .into()
    }

    #[test]
    fn a_key_between_replaced_tables_follows_the_setting() {
        let key = key("users", "users");
        assert_eq!(fate(&key, ForeignKeys::Validated, &treatments()), KeyFate::Validated);
        assert_eq!(fate(&key, ForeignKeys::NotValid, &treatments()), KeyFate::NotValid(None));
        assert!(matches!(fate(&key, ForeignKeys::Omitted, &treatments()), KeyFate::LeftOut(_)));
    }

    #[test]
    fn a_key_to_a_table_that_stays_is_declared_only_and_named() {
        for to in ["answers", "logs"] {
            assert!(
                matches!(
                    fate(&key("users", to), ForeignKeys::Validated, &treatments()),
                    KeyFate::NotValid(Some(_))
                ),
                "{to}"
            );
        }
    }

    #[test]
    fn a_key_of_an_incremental_table_is_left_out_and_named() {
        assert!(matches!(
            fate(&key("events", "users"), ForeignKeys::Validated, &treatments()),
            KeyFate::LeftOut(_)
        ));
    }

    #[test]
    fn what_the_source_itself_did_not_check_is_not_checked() {
        let key = Definition { declared_not_valid: true, ..key("users", "users") };
        assert_eq!(fate(&key, ForeignKeys::Validated, &treatments()), KeyFate::NotValid(None));
    }

    #[test]
    fn a_partitioned_table_gets_its_key_whole() {
        let key = Definition { is_partitioned: true, ..key("users", "users") };
        assert_eq!(fate(&key, ForeignKeys::NotValid, &treatments()), KeyFate::Whole);
    }
}
