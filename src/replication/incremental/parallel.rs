//! A large copy as several ranges of keys. The table's own session takes them from the first on; connections that no table needs
//! help from the last on, in transactions of their own. All are committed together, when every row is in: should that break off in
//! between, the table's bound has not moved, and the next run compares the rows beyond it.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use futures::future::try_join_all;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

use super::key::{Bound, Stretch};
use super::plan::TablePlan;
use super::ranges::{FINE, spread_of};
use crate::adapters::postgres::copy::{Copied, pipe};
use crate::adapters::postgres::{Database, Session};
use crate::error::Result;
use crate::replication::moment::Shared;

/// Rows of a range: fewer are not worth another statement.
const LEAST: usize = 100_000;

/// Ranges of one copy at most.
const MOST: usize = 64;

/// What tables and their helpers share: each takes a pair of connections for as long as rows flow.
pub(super) struct Pairs<'a> {
    /// The moment of the source that everything is read from.
    pub(super) source: &'a Shared,
    /// Where it is written.
    pub(super) warehouse: &'a Database,
    /// How many there are.
    pub(super) number: usize,
    /// Those that are free.
    pub(super) free: &'a Semaphore,
}

/// The ranges of one copy that nobody has taken yet.
struct Ranges {
    left: Mutex<VecDeque<Stretch>>,
    all_taken: CancellationToken,
}

/// What a helper copied and did not commit.
pub(super) struct Beside {
    warehouse: Session,
    copied: Copied,
}

/// Copies a stretch through the two sessions, with helpers where pairs are free. The helpers' transactions are left open. The `pair`
/// is given back as soon as the sessions have no more to do.
///
/// # Errors
/// A range cannot be read or written; then none may be committed.
pub(super) async fn copy(
    pairs: &Pairs<'_>,
    (source, warehouse): (&mut Session, &mut Session),
    plan: &TablePlan,
    stretch: Stretch,
    pair: Option<SemaphorePermit<'_>>,
    begin: &str,
) -> Result<(Copied, Vec<Beside>)> {
    let ranges = Ranges {
        left: Mutex::new(cut(pairs, source, plan, stretch).await?),
        all_taken: CancellationToken::new(),
    };
    let own = async {
        let mut copied = Copied::default();
        while let Some(range) = ranges.take(VecDeque::pop_front) {
            copied.add(pipe(source, &plan.copy_out(&range), warehouse, &plan.copy_in()).await?);
        }
        drop(pair);
        Ok(copied)
    };
    let helpers = (1..pairs.number).map(|_| help(pairs, plan, &ranges, begin));
    let (copied, beside) = futures::try_join!(own, try_join_all(helpers))?;
    Ok((copied, beside.into_iter().flatten().collect()))
}

/// Cuts a stretch into ranges of about as many rows, in the order of the key.
async fn cut(
    pairs: &Pairs<'_>,
    source: &mut Session,
    plan: &TablePlan,
    mut stretch: Stretch,
) -> Result<VecDeque<Stretch>> {
    let bounds = match pairs.number {
        1 => Vec::new(),
        _ => match plan.source_key.spaced(&stretch, LEAST, MOST) {
            Some(bounds) => bounds,
            None => spread_bounds(source, plan, &stretch).await?,
        },
    };
    let mut ranges = VecDeque::new();
    for bound in bounds {
        let after = stretch.after.replace(bound.clone());
        ranges.push_back(Stretch { after, upto: Some(bound) });
    }
    ranges.push_back(stretch);
    Ok(ranges)
}

/// Bounds with about as many rows between them, for keys that cannot be counted on.
async fn spread_bounds(source: &mut Session, plan: &TablePlan, stretch: &Stretch) -> Result<Vec<Bound>> {
    let bounds = spread_of(source, &plan.source_key, stretch).await?;
    let parts = (bounds.len() * FINE / LEAST).min(MOST);
    Ok((1..parts).filter_map(|at| bounds.get(bounds.len() * at / parts).cloned()).collect())
}

/// Waits for a pair that no table needs, and takes ranges from the last on.
async fn help(pairs: &Pairs<'_>, plan: &TablePlan, ranges: &Ranges, begin: &str) -> Result<Option<Beside>> {
    let _pair = tokio::select! {
        biased;
        () = ranges.all_taken.cancelled() => return Ok(None),
        pair = pairs.free.acquire() => pair,
    };
    let Some(mut range) = ranges.take(VecDeque::pop_back) else { return Ok(None) };
    let mut reader = pairs.source.reader("").await?;
    reader.begin().await?;
    let mut warehouse = pairs.warehouse.connect().await?;
    warehouse.execute(begin).await?;
    let mut copied = Copied::default();
    loop {
        let (copy_out, copy_in) = (plan.copy_out(&range), plan.copy_in());
        copied.add(pipe(&mut reader.session, &copy_out, &mut warehouse, &copy_in).await?);
        let Some(next) = ranges.take(VecDeque::pop_back) else { break };
        range = next;
    }
    reader.end().await?;
    reader.session.close().await;
    Ok(Some(Beside { warehouse, copied }))
}

impl Ranges {
    fn take(&self, from: impl FnOnce(&mut VecDeque<Stretch>) -> Option<Stretch>) -> Option<Stretch> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = from(&mut left);
        if left.is_empty() {
            self.all_taken.cancel();
        }
        taken
    }
}

impl Beside {
    /// What it copied.
    pub(super) fn copied(&self) -> Copied {
        self.copied
    }

    /// Lets the server find now what would keep it from being committed.
    ///
    /// # Errors
    /// A constraint that was put off does not hold.
    pub(super) async fn check(&mut self) -> Result<()> {
        self.warehouse.execute("set constraints all immediate").await
    }

    /// Commits it.
    ///
    /// # Errors
    /// The server cannot be reached any more.
    pub(super) async fn commit(mut self) -> Result<()> {
        self.warehouse.execute("commit").await?;
        self.warehouse.close().await;
        Ok(())
    }
}
