//! How the new copy becomes the one that readers see: `PUBLISH_MODE`, `PUBLISH_LOCK`, `PUBLISH_LOCK_TIMEOUT`,
//! `PUBLISH_DEADLINE`, `PUBLISH_ON_BROKEN_DEPENDENTS`, `KEEP_PREVIOUS`, `WAREHOUSE_QUOTA`.

use std::time::Duration;

use super::Reader;

/// `PUBLISH_MODE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublishMode {
    /// Built aside, in schemas of its own, and published in one moment.
    Swap,
    /// The objects are replaced under their own names: readers see tables fill.
    InPlace,
    /// A swap where it can be, in place where it cannot.
    Auto,
}

/// `PUBLISH_LOCK`: whether a reader's transaction may see one table of yesterday and another of today.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublishLock {
    /// Waits for the readers of the replaced tables until the deadline, then goes on without.
    Try,
    /// Waits for them until the deadline, then fails.
    Require,
    /// Never waits for them.
    None,
}

/// `PUBLISH_ON_BROKEN_DEPENDENTS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnBroken {
    /// What cannot come back is named, with its definition.
    Report,
    /// The night fails, and yesterday's copy stays.
    Refuse,
}

/// The settings of the publish.
#[derive(Debug, Clone)]
pub struct Publishing {
    /// Aside or in place.
    pub mode: PublishMode,
    /// Whether readers' transactions are waited for.
    pub lock: PublishLock,
    /// How long other readers may queue behind one try to lock.
    pub lock_timeout: Duration,
    /// How long is tried again.
    pub deadline: Duration,
    /// What becomes of a night that would lose something of others.
    pub on_broken: OnBroken,
    /// Whether yesterday's copy stays until the next night.
    pub keep_previous: bool,
    /// How many bytes the warehouse may take.
    pub quota: Option<u64>,
}

impl Publishing {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            mode: reader.choice(
                "PUBLISH_MODE",
                PublishMode::Auto,
                &[
                    ("auto", PublishMode::Auto),
                    ("swap", PublishMode::Swap),
                    ("in_place", PublishMode::InPlace),
                ],
            ),
            lock: reader.choice(
                "PUBLISH_LOCK",
                PublishLock::Try,
                &[("try", PublishLock::Try), ("require", PublishLock::Require), ("none", PublishLock::None)],
            ),
            lock_timeout: reader.duration("PUBLISH_LOCK_TIMEOUT", Duration::from_secs(2)),
            deadline: reader.duration("PUBLISH_DEADLINE", Duration::from_secs(10 * 60)),
            on_broken: reader.choice(
                "PUBLISH_ON_BROKEN_DEPENDENTS",
                OnBroken::Report,
                &[("report", OnBroken::Report), ("refuse", OnBroken::Refuse)],
            ),
            keep_previous: reader.choice("KEEP_PREVIOUS", true, &[("true", true), ("false", false)]),
            quota: reader.bytes("WAREHOUSE_QUOTA"),
        }
    }
}
