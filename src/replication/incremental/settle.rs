//! Reads how far each table is to be copied tonight, and waits until those bounds are settled, or as long as it may.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::key::{Bound, Key, Stretch};
use super::plan::TablePlan;
use super::settling::{Circumstances, Proof, open_bound, proof, settles};
use crate::adapters::ledger::{Ledger, OpenBound, Progress};
use crate::adapters::postgres::catalog::{self, Identity};
use crate::adapters::postgres::columns::{text, texts};
use crate::adapters::postgres::ident::literal;
use crate::adapters::postgres::under_way::{self, KeySource, UnderWay, under_way};
use crate::adapters::postgres::{Database, Session};
use crate::clock;
use crate::config::Way;
use crate::error::Result;

/// The first pause between two looks at the writers, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// The bounds of a table that are remembered while none of them is settled.
const MOST_OPEN: usize = 50;

/// How far one table is copied tonight, and what is known of it afterwards.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Settlement {
    /// The greatest key of the source; none where it has no row.
    pub(super) upper: Option<Bound>,
    /// Every row up to here is in the warehouse already.
    pub(super) settled_before: Option<Bound>,
    /// Every row up to here is in the warehouse after tonight.
    pub(super) settled: Option<Bound>,
    /// The bounds that are copied tonight and not settled.
    pub(super) open: Vec<OpenBound>,
    /// Why tonight's bound is not settled.
    pub(super) unsettled: Option<String>,
    /// Which table of which source this is of.
    pub(super) source: String,
    /// When the table was copied last.
    pub(super) copied_at: Option<DateTime<Utc>>,
}

/// One table while its bounds are looked at.
struct Table {
    relations: Vec<i64>,
    proof: Proof,
    bound: Option<Bound>,
    settlement: Settlement,
}

/// Reads the bounds of all tables, then waits for those who were writing at that moment. A snapshot that is taken
/// afterwards shows every row up to the settled bounds.
///
/// # Errors
/// The source or the ledger cannot be asked.
pub(super) async fn settle(
    source: &Database,
    ledger: &Ledger,
    plans: &[TablePlan],
    timeout: Duration,
) -> Result<Vec<Settlement>> {
    let is_pooled = source.is_pooled().await?;
    let mut session = source.connect().await?;
    session.set("set search_path = ''").await?;
    let identity = catalog::identity(&mut session).await?;
    let circumstances =
        Circumstances { is_standby: identity.is_standby, is_pooled, ..Circumstances::default() };
    let mut tables = Vec::with_capacity(plans.len());
    for plan in plans {
        let of_table = source_of(&identity, plan);
        let known = ledger.progress(&plan.table).await?.unwrap_or_default();
        let read = read(&mut session, plan, of_table, known, circumstances).await;
        tables.push(read.map_err(|error| error.context(&plan.table))?);
    }
    wait(&mut session, &mut tables, timeout).await?;
    session.close().await;
    Ok(tables.into_iter().map(|table| table.settlement).collect())
}

/// Which table of which source a plan is for, as the ledger has it.
pub(super) fn source_of(identity: &Identity, plan: &TablePlan) -> String {
    let system = identity.system_identifier.as_deref().unwrap_or("unknown");
    format!("{system}/{}/{}", identity.database_oid, plan.source_oid)
}

/// Whether what the ledger has is of these very tables and this key.
pub(super) fn speaks_of(progress: &Progress, plan: &TablePlan, source: &str) -> bool {
    progress.source == source
        && progress.warehouse_oid == plan.warehouse_oid
        && progress.key_columns.iter().map(String::as_str).eq(plan.source_key.names())
}

/// Reads the bounds of one table.
async fn read(
    session: &mut Session,
    plan: &TablePlan,
    source: String,
    progress: Progress,
    circumstances: Circumstances,
) -> Result<Table> {
    let copied_at = progress.copied_at;
    let progress = if speaks_of(&progress, plan, &source) { progress } else { Progress::default() };
    let mut table = Table {
        relations: Vec::new(),
        proof: Proof::Writers,
        bound: None,
        settlement: Settlement {
            upper: None,
            settled: progress.settled.clone(),
            settled_before: progress.settled,
            open: progress.bounds,
            unsettled: None,
            source,
            copied_at,
        },
    };
    let key = &plan.source_key;
    if matches!(plan.increment.way, Way::Reconcile { .. }) {
        return Ok(table);
    }
    table.settlement.upper = greatest(session, &key.greatest(&Stretch::default())).await?;
    let feeds = feeds(session, plan).await?;
    let mut cap = None;
    let mut circumstances = circumstances;
    if let Some(sequence) = feeds.sequence {
        circumstances.sequence_cache = Some(sequence.cache);
        // A standby takes no lock of the kind that looking takes.
        if !circumstances.is_standby {
            (cap, circumstances.sees_sequence) = under_way::last_drawn(session, sequence.oid).await?;
        }
    }
    table.relations =
        feeds.relations.into_iter().chain(feeds.sequence.map(|sequence| sequence.oid)).collect();
    table.proof = proof(&plan.increment, circumstances);
    let went_back = match &cap {
        Some(drawn) => is_behind(session, key, drawn, &table.settlement).await?,
        None => matches!(table.proof, Proof::Writers | Proof::Sessions),
    };
    if went_back {
        // The source was restored, or the sequence set back: it gives out again what was held to be settled.
        table.settlement.settled = None;
        table.settlement.settled_before = None;
        table.settlement.open.clear();
    }
    if table.proof == Proof::Sessions {
        // Opened under another proof, without a look at the sessions. All of its own would have settled it that night.
        table.settlement.open.retain(|open| !open.sessions.is_empty());
    }
    let drawn = cap.map(|drawn| drawn_by(key, &drawn));
    let condition = match table.proof {
        Proof::None(_) => None,
        Proof::Writers | Proof::Sessions => drawn,
        Proof::Time(_) => drawn.or_else(|| Some(not_of_the_future(key))),
    };
    if let (Some(condition), Some(upper)) = (condition, &table.settlement.upper) {
        // Not beyond the upper one: a row that came in between is not copied tonight.
        let copied = key.within(&Stretch { after: None, upto: Some(upper.clone()) });
        table.bound = greatest(session, &key.greatest_where(&format!("{condition} and {copied}"))).await?;
    }
    if let (Some(bound), Some(settled)) = (&table.bound, &table.settlement.settled_before)
        && text(session, &key.is_beyond(bound, settled), "cannot compare bounds").await?.is_none()
    {
        // Nothing came since. Or the source went back behind what is settled, which the copy names.
        table.bound = None;
    }
    Ok(table)
}

/// What feeds the key: only a key of one column is fed by a sequence alone.
async fn feeds(session: &mut Session, plan: &TablePlan) -> Result<KeySource> {
    let mut names = plan.source_key.names();
    match (&plan.increment.way, names.next(), names.next()) {
        (Way::Append { .. }, Some(column), None) => {
            under_way::key_source(session, plan.source_oid, column).await
        }
        _ => Ok(KeySource::default()),
    }
}

/// Whether the sequence is behind a bound that it had reached.
async fn is_behind(session: &mut Session, key: &Key, drawn: &str, settlement: &Settlement) -> Result<bool> {
    let drawn = vec![drawn.to_owned()];
    for bound in settlement.settled_before.iter().chain(settlement.open.iter().map(|open| &open.bound)) {
        if text(session, &key.is_beyond(bound, &drawn), "cannot compare bounds").await?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn greatest(session: &mut Session, sql: &str) -> Result<Option<Bound>> {
    texts(session, sql, "cannot read the greatest key").await
}

/// The keys that a sequence has given out. One beyond was written by hand; the sequence is still to come there.
fn drawn_by(key: &Key, drawn: &str) -> String {
    key.deciding().map_or_else(String::new, |(column, cast_type)| {
        format!("{column} <= cast({} as {cast_type})", literal(drawn))
    })
}

/// The keys that can be told not to be of the future, however coarse a clock drew them: one that is would settle all that is
/// still to come. A time without zone may be that of any zone.
fn not_of_the_future(key: &Key) -> String {
    let Some((column, cast_type)) = key.deciding() else { return "true".to_owned() };
    let of_any_zone = "(now() at time zone 'UTC') - interval '13 hours'";
    match cast_type {
        "timestamp with time zone" => format!("{column} <= now() - interval '1 minute'"),
        "timestamp without time zone" => format!("{column} <= {of_any_zone}"),
        "date" => format!("{column} < ({of_any_zone})::date"),
        // RFC 9562: the first 48 bits of version 7 are milliseconds. Other versions have no order.
        "uuid" => format!(
            "{column} <= cast(lpad(to_hex((extract(epoch from now() - interval '1 minute') * 1000)::bigint), 12, '0') \
             || '7fffbfffffffffffffff' as uuid) and substr({column}::text, 15, 1) = '7'"
        ),
        _ => "true".to_owned(),
    }
}

/// Opens the bounds, and looks until those that can settle tonight have, or the time is over.
async fn wait(session: &mut Session, tables: &mut [Table], timeout: Duration) -> Result<()> {
    let relations: Vec<i64> = tables.iter().flat_map(|table| table.relations.iter().copied()).collect();
    // After all bounds were read: who is not seen now has committed, or has not begun.
    let mut seen = under_way(session, &relations).await?;
    let read_at = clock::now();
    for table in tables.iter_mut() {
        if let Some(bound) = table.bound.take() {
            let open = open_bound(bound, read_at, table.proof, &seen, &table.relations);
            table.settlement.open.extend(open);
            // One less only means that it is settled later.
            if table.settlement.open.len() > MOST_OPEN {
                table.settlement.open.remove(1);
            }
        }
    }
    let start = Instant::now();
    let mut pause = PAUSES.0;
    loop {
        for table in tables.iter_mut() {
            table.look(&seen);
        }
        let is_awaited = |table: &Table| table.proof == Proof::Writers && !table.settlement.open.is_empty();
        let left = timeout.saturating_sub(start.elapsed());
        if left.is_zero() || !tables.iter().any(is_awaited) {
            break;
        }
        tokio::time::sleep(pause.min(left)).await;
        pause = (pause * 2).min(PAUSES.1);
        seen = under_way(session, &relations).await?;
    }
    for table in tables {
        table.settlement.unsettled = table.why_unsettled(timeout);
    }
    Ok(())
}

impl Table {
    /// Lets the newest bound that is settled be the settled one.
    fn look(&mut self, seen: &UnderWay) {
        let now = clock::now();
        let open = &mut self.settlement.open;
        let is_settled: Vec<bool> =
            open.iter_mut().map(|open| settles(open, seen, self.proof, now)).collect();
        if let Some(newest) = is_settled.iter().rposition(|is_settled| *is_settled) {
            self.settlement.settled = open.drain(..=newest).next_back().map(|open| open.bound);
        }
    }

    fn why_unsettled(&self, timeout: Duration) -> Option<String> {
        let open = self.settlement.open.last();
        let again = "the rows after the settled bound are compared again the next night";
        match (self.proof, open, &self.settlement.upper) {
            (_, _, None) => None,
            (Proof::None(why), ..) => Some(format!("{}: {again}", why.why())),
            (Proof::Writers, Some(open), _) => Some(format!(
                "{} of the source's transactions had not ended within {} s: {again}",
                open.transactions.len(),
                timeout.as_secs_f32()
            )),
            (Proof::Sessions, Some(open), _) => Some(format!(
                "its sequence hands out several ids at a time, which {} sessions of the source may still write: {again}",
                open.sessions.len()
            )),
            // An hour or a day that has not passed yet is as it should be.
            _ => None,
        }
    }
}
