//! How the new copy will become the one that readers see: by a swap of schemas, or in place (pure).

mod obstacles;
mod room;

use serde::Serialize;

pub use room::Room;

use super::plan::{Finding, Plan, World};
use crate::adapters::postgres::archive::Entry;
use crate::adapters::postgres::catalog::SwapFacts;
use crate::config::PublishMode;

/// How a night publishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Publish {
    /// Built aside, and published in one moment.
    Swap {
        /// The schemas that are swapped, sorted.
        schemas: Vec<String>,
        /// Whether the objects move from schema to schema, since the schemas cannot be renamed.
        moves: bool,
    },
    /// Replaced under their own names.
    InPlace,
}

impl Publish {
    /// The word of `PUBLISH_MODE` and of the ledger.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Swap { .. } => "swap",
            Self::InPlace => "in_place",
        }
    }

    /// Whether the schemas cannot be renamed, so that the objects move.
    #[must_use]
    pub fn moves_objects(&self) -> bool {
        matches!(self, Self::Swap { moves: true, .. })
    }

    /// The schemas that are swapped; none in place.
    #[must_use]
    pub fn schemas(&self) -> &[String] {
        match self {
            Self::Swap { schemas, .. } => schemas,
            Self::InPlace => &[],
        }
    }
}

/// How a night publishes, and why it is not a swap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// How.
    pub publish: Publish,
    /// In place: why it is no swap. A swap: why objects move and readers wait for moments, where schemas cannot be renamed.
    pub reasons: Vec<Finding>,
    /// What of others cannot follow to the new copy.
    pub left_behind: Vec<Finding>,
}

/// How a night publishes, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Publishes {
    /// `swap` or `in_place`.
    pub mode: &'static str,
    /// The schemas that are swapped.
    pub schemas: Vec<String>,
    /// How a swap does it: `rename` (of schemas) or `move` (of objects).
    pub way: Option<&'static str>,
    /// Why it is not a swap, where one was wanted, or why objects move.
    pub reasons: Vec<Finding>,
}

impl From<Choice> for Publishes {
    fn from(choice: Choice) -> Self {
        Self {
            mode: choice.publish.name(),
            way: match choice.publish {
                Publish::InPlace => None,
                Publish::Swap { moves: true, .. } => Some("move"),
                Publish::Swap { .. } => Some("rename"),
            },
            schemas: choice.publish.schemas().to_vec(),
            reasons: choice.reasons,
        }
    }
}

impl Choice {
    /// What `check` and `plan` say of it.
    #[must_use]
    pub fn notes(&self, mode: PublishMode) -> Vec<Finding> {
        let note = |text: String, hint: &str| Finding::new("PUBLISH_MODE", text, hint);
        let takes = if mode == PublishMode::Auto { "auto takes" } else { "set to" };
        match &self.publish {
            Publish::Swap { schemas, .. } if schemas.is_empty() => {
                vec![note(format!("{takes} swap: there is nothing to build"), "")]
            }
            Publish::Swap { schemas, moves } => {
                let what = match schemas.as_slice() {
                    [one] => format!("schema {one} is"),
                    many => format!("schemas {} are", many.join(", ")),
                };
                let how = if *moves { ", object by object" } else { "" };
                let mut notes = vec![note(
                    format!("{takes} swap: {what} built aside and published in one moment{how}"),
                    "",
                )];
                let because = |reason: &Finding| {
                    let text = format!(
                        "readers wait for moments while objects move, since the schemas cannot be renamed: {}: {}",
                        reason.subject, reason.text
                    );
                    note(text, &reason.hint)
                };
                notes.extend(self.reasons.iter().map(because));
                notes.extend(self.left_behind.iter().cloned());
                notes
            }
            Publish::InPlace if self.reasons.is_empty() => {
                vec![note(format!("{takes} in_place: readers see the tables fill"), "")]
            }
            Publish::InPlace => {
                let because = |reason: &Finding| {
                    note(format!("{takes} in_place: {}: {}", reason.subject, reason.text), &reason.hint)
                };
                self.reasons.iter().map(because).collect()
            }
        }
    }
}

/// Decides how the night publishes. `room` is none where nobody said how much there is.
///
/// # Errors
/// A swap was asked for and cannot be, or neither way fits into the quota: each with what to do.
pub fn choose(
    mode: PublishMode,
    entries: &[Entry],
    plan: &Plan,
    world: &World,
    facts: &SwapFacts,
    room: Option<&Room>,
) -> Result<Choice, Vec<Finding>> {
    if let Some(too_small) = room.and_then(Room::too_small_for_either) {
        return Err(vec![too_small]);
    }
    if mode == PublishMode::InPlace {
        return Ok(Choice { publish: Publish::InPlace, reasons: Vec::new(), left_behind: Vec::new() });
    }
    let schemas = plan.schemas(entries, world);
    let mut reasons = obstacles::against_a_swap(&schemas, plan, world, facts);
    reasons.extend(room.and_then(Room::too_small_for_a_swap));
    let against_renaming = obstacles::against_renaming(&schemas, plan, world, facts);
    if !against_renaming.is_empty() {
        let against_moving = obstacles::against_moving(entries, &schemas, plan, world, facts);
        if !against_moving.is_empty() {
            reasons.extend(against_renaming.iter().cloned().chain(against_moving));
        }
    }
    if reasons.is_empty() {
        let reasons = against_renaming;
        let publish = Publish::Swap { moves: !reasons.is_empty(), schemas: schemas.into_iter().collect() };
        return Ok(Choice { publish, reasons, left_behind: obstacles::left_behind(plan, world, facts) });
    }
    if mode == PublishMode::Swap {
        return Err(reasons.into_iter().map(in_place_instead).collect());
    }
    Ok(Choice { publish: Publish::InPlace, reasons, left_behind: Vec::new() })
}

/// What forbids a swap that was asked for: there is always the other way.
fn in_place_instead(mut reason: Finding) -> Finding {
    reason.text = format!("no swap: {}", reason.text);
    // A hint may end in a statement.
    reason.hint = format!("{}; or set PUBLISH_MODE=auto", reason.hint.trim_end_matches(';'));
    reason
}

#[cfg(test)]
mod tests;
