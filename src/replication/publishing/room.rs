//! Whether a new copy fits into the warehouse beside the old one (pure).

use bytesize::ByteSize;

use crate::replication::plan::Finding;

/// The warehouse's room, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// What `WAREHOUSE_QUOTA` allows.
    pub quota: u64,
    /// What the warehouse holds now.
    pub used: u64,
    /// Of it, the generations that no reader sees: they are dropped when a night starts.
    pub freed: u64,
    /// Of it, what the night replaces.
    pub replaced: u64,
    /// What the new copy takes, with its indexes.
    pub need: u64,
    /// Whether it may well take more: of an archive only its own, packed size is known at first.
    pub is_lower_bound: bool,
}

impl Room {
    /// The most that is taken when the new copy stands beside the old one.
    fn of_a_swap(&self) -> u64 {
        self.used.saturating_sub(self.freed).saturating_add(self.need)
    }

    /// The most that is taken when the old objects go first.
    fn in_place(&self) -> u64 {
        self.used.saturating_sub(self.freed).saturating_sub(self.replaced).saturating_add(self.need)
    }

    pub(super) fn too_small_for_a_swap(&self) -> Option<Finding> {
        (self.of_a_swap() > self.quota).then(|| {
            let text =
                format!("two copies side by side would take {}: {}", size(self.of_a_swap()), self.sum());
            let hint = format!(
                "a warehouse of {} or more, with WAREHOUSE_QUOTA raised, holds both",
                size(self.of_a_swap())
            );
            Finding::new("WAREHOUSE_QUOTA", text, hint)
        })
    }

    pub(super) fn too_small_for_either(&self) -> Option<Finding> {
        (self.in_place() > self.quota).then(|| {
            let text = format!(
                "the new copy does not fit, not even in the place of the old one ({}): it would take {}: {}",
                size(self.replaced),
                size(self.in_place()),
                self.sum()
            );
            let hint = "make room in the warehouse, raise WAREHOUSE_QUOTA where its plan allows more, or leave tables out: \
                        BACKUP_MODE={\"table\":\"none\"}";
            Finding::new("WAREHOUSE_QUOTA", text, hint)
        })
    }

    /// The numbers behind the answer.
    fn sum(&self) -> String {
        let at_least = if self.is_lower_bound { "at least " } else { "" };
        let freed = match self.freed {
            0 => String::new(),
            freed => format!(", of which {} are dropped when the night starts", size(freed)),
        };
        format!(
            "the warehouse holds {}{freed}, the new copy needs {at_least}{}, the quota is {}",
            size(self.used),
            size(self.need),
            size(self.quota)
        )
    }
}

/// Powers of a thousand, as disks and plans are sold.
fn size(bytes: u64) -> String {
    ByteSize::b(bytes).display().si().to_string()
}
