//! The archive's entries, made one after the other: what may fail is named, what must wait is held back.

use std::collections::BTreeSet;

use super::aside::Aside;
use super::leaving::attempt;
use crate::adapters::ledger::Recorder;
use crate::adapters::postgres::Session;
use crate::adapters::postgres::archive::{Archive, Entry};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::TableName;
use crate::outcome::Skipped;
use crate::replication::enums::add_values;
use crate::replication::plan::Plan;

/// Runs entries of the archive; those that may fail are named when they do.
pub(super) struct Making<'a> {
    session: &'a mut Session,
    archive: &'a Archive,
    plan: &'a Plan,
    recorder: &'a Recorder,
    /// Whether the tables that stay are out of reach: what needs them is held back.
    is_aside: bool,
    /// Whether readers still use what is there.
    defers_updates: bool,
    /// The schemas that are there already.
    replicated: Vec<String>,
    /// Types that stay since they are what they were.
    pub(super) unchanged: BTreeSet<TableName>,
    pub(super) progress: Progress,
}

/// What was not simply made.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) left_out: BTreeSet<i32>,
    pub(super) held_back: Vec<i32>,
    pub(super) updates: Vec<(String, String)>,
}

impl<'a> Making<'a> {
    pub(super) fn new(
        session: &'a mut Session,
        archive: &'a Archive,
        plan: &'a Plan,
        recorder: &'a Recorder,
        aside: &Aside,
    ) -> Self {
        let is_aside = !aside.is_in_place() && !aside.moves_objects();
        let (defers_updates, replicated) = (!aside.is_in_place(), aside.homes());
        Self {
            session,
            archive,
            plan,
            recorder,
            is_aside,
            defers_updates,
            replicated,
            unchanged: BTreeSet::new(),
            progress: Progress::default(),
        }
    }

    pub(super) async fn entries(&mut self, ids: &[i32], spared: &BTreeSet<TableName>) -> Result<()> {
        for id in ids {
            let Some(entry) = self.archive.entry(*id) else { continue };
            if entry.kind.name() == "SCHEMA" && self.replicated.contains(&entry.name) {
                continue;
            }
            let is_one_of = |names: &BTreeSet<TableName>| {
                entry.table_name().is_some_and(|name| names.contains(&name)) && entry.kind.name() != "TABLE"
            };
            let stays = is_one_of(spared);
            if is_one_of(&self.unchanged) {
                self.progress.left_out.insert(entry.id);
            } else if stays {
                self.bring_up_to_date(entry).await?;
            } else if let Err(error) = attempt(self.session, &entry.definition).await? {
                self.tolerate(entry, error).await?;
            }
        }
        Ok(())
    }

    /// What a staying table uses cannot be made anew, but an enum can get its new values, and a function its new body.
    async fn bring_up_to_date(&mut self, entry: &Entry) -> Result<()> {
        for statement in updates(entry) {
            // Until the publish, readers use the one that is there.
            if self.defers_updates && is_routine(entry) {
                self.progress.updates.push((entry.label(), statement));
                continue;
            }
            if let Err(error) = attempt(self.session, &statement).await? {
                let reason = format!(
                    "a table that stays uses the one that is there, and it cannot follow the source: {error}"
                );
                return self.leave_out(entry, &reason).await;
            }
        }
        self.leave_out(entry, "a table that stays uses the one that is there").await
    }

    /// A comment that needs another owner, a policy for a role that is not here, or what leans on a table that is not loaded, does not end a night.
    async fn tolerate(&mut self, entry: &Entry, error: Error) -> Result<()> {
        let held_back = &self.progress.held_back;
        let needs_kept = self.plan.fallible.contains(&entry.id)
            || entry.dependencies.iter().any(|id| held_back.contains(id));
        if self.is_aside && needs_kept && entry.kind.name() != "TABLE" {
            self.progress.left_out.insert(entry.id);
            self.progress.held_back.push(entry.id);
            return Ok(());
        }
        let leans_on_left_out = entry.dependencies.iter().any(|id| self.progress.left_out.contains(id));
        let tolerable = self.plan.fallible.contains(&entry.id)
            || leans_on_left_out
            || matches!(entry.kind.name(), "COMMENT" | "POLICY")
            || error.kind() == ErrorKind::Privilege;
        if tolerable && entry.kind.name() != "TABLE" {
            return self.leave_out(entry, &error.to_string()).await;
        }
        Err(error.context(format!("cannot make {}", entry.label())))
    }

    async fn leave_out(&mut self, entry: &Entry, reason: &str) -> Result<()> {
        self.progress.left_out.insert(entry.id);
        self.recorder
            .skipped(Skipped { object: entry.label(), reason: reason.to_owned(), definition: None })
            .await
    }
}

fn is_routine(entry: &Entry) -> bool {
    matches!(entry.kind.name(), "FUNCTION" | "PROCEDURE")
}

/// The statements that bring an object that is there up to date with an entry of the archive.
pub(super) fn updates(entry: &Entry) -> Vec<String> {
    let definition = entry.definition.trim_start();
    if let Some(rest) =
        definition.strip_prefix("CREATE FUNCTION ").or_else(|| definition.strip_prefix("CREATE PROCEDURE "))
    {
        let kind = if entry.kind.name() == "PROCEDURE" { "PROCEDURE" } else { "FUNCTION" };
        return vec![format!("CREATE OR REPLACE {kind} {rest}")];
    }
    let Some((name, labels)) = enum_of(entry) else { return Vec::new() };
    // Those that are there are not asked for: IF NOT EXISTS leaves them alone.
    add_values(name, &labels, |_| false)
}

/// The name of an enum and its labels, quoted; none for other entries. pg_dump writes one label a line.
pub(super) fn enum_of(entry: &Entry) -> Option<(&str, Vec<&str>)> {
    let definition = entry.definition.trim_start().strip_prefix("CREATE TYPE ")?;
    let (name, labels) = definition.split_once(" AS ENUM (").filter(|_| entry.kind.name() == "TYPE")?;
    let labels =
        labels.lines().map(|line| line.trim().trim_end_matches(',')).filter(|line| line.starts_with('\''));
    Some((name, labels.collect()))
}
