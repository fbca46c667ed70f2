//! When a bound is settled: when no row below it can appear any more. The decisions are pure; `settle.rs` asks the server.
//!
//! # The argument
//!
//! A table is copied up to a bound, the greatest key that its source had when we looked. A row with a smaller key may still be
//! on its way: its writer has drawn the key and has not committed. Copied by `id > max(id)`, that row is lost. So a bound is
//! settled only when everybody who may have drawn a smaller key has ended, and rows are then read in a snapshot that is taken
//! after that. What a night finds in the way is written into the ledger; where it had not ended by the end of the night, the
//! rows after the last settled bound are compared again the next night, and the bound is settled once it has.
//!
//! **Keys that a sequence feeds** (serial, identity, a default of `nextval`). The bound is at most what the sequence has given
//! out, read first. A key that is smaller was drawn before ("`nextval` ... multiple sessions ... each will safely receive a
//! distinct sequence value", manual 9.17; values grow, since the increment is positive and there is no cycle). Whoever draws a
//! value holds a ROW EXCLUSIVE lock on the sequence to the end of the transaction, as whoever writes rows holds one on
//! the table (manual 13.3.1; a rollback to a savepoint gives up later locks, but the sequence's is the transaction's). `pg_locks`
//! shows the locks of all sessions to any role, and is not of a snapshot: it tells what is held now (manual 54.12). So, read
//! after the bound, it names every transaction that may still commit a smaller key. Its end shows as the end of its virtual
//! transaction, which happens after its rows are visible to new snapshots.
//! A transaction that is prepared (manual, PREPARE TRANSACTION) is no session's any more, and never without its locks:
//! when the last of the virtual transactions is gone, the prepared ones of that moment are waited for as well. They go by their
//! transaction id (`-1/xid`), which outlives a restart of the server.
//!
//! **Sequences with a cache** (`CACHE n`) hand out n values to a session at a time, which may use them much later, in a transaction
//! that holds no lock yet: such a bound is settled when the *sessions* of that moment have ended. Pools close their connections
//! in time, so this is the next night's business and not a wait.
//!
//! **Cursors and other keys** (a time, a uuid, a number from elsewhere) may be drawn anywhere. A time that the
//! database draws (`now()`) is that of its transaction's begin, so every transaction of the moment counts, whatever it holds; the
//! bound is at most the server's time. What an application draws before it writes is seen by nobody: there an operator says
//! how long that takes (`"overlap"`), and a bound is settled when it is older and the transactions of its moment have ended. Without
//! that word such a bound never settles, and all rows after the first load are compared again every night.
//!
//! # Its limits
//!
//! Ids that are drawn in one transaction and written in a later one (hi/lo generators of an ORM), rows that are written with an id
//! of one's own choice below the bound, a sequence that is set back (or a source that is restored) and comes past the bound again
//! before the next night, and rows that change after they were copied are not seen.
//! `nightferry verify --incremental` finds them.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::key::Bound;
use crate::adapters::ledger::OpenBound;
use crate::adapters::postgres::under_way::{PREPARED, UnderWay};
use crate::config::{Increment, Way};

/// How long after its drawing a cursor's row may be committed, where nobody says otherwise: clocks differ, statements queue.
const CURSOR_OVERLAP: Duration = Duration::from_secs(60 * 60);

/// What must have ended before a bound is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    /// The transactions that write to the table or its sequence.
    Writers,
    /// The sessions: each may hold values of the sequence.
    Sessions,
    /// All transactions, and so much time must have passed.
    Time(Duration),
    /// Nothing proves it.
    None(Unproven),
}

/// Why no bound of a table is ever settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unproven {
    /// Nothing says when a key was drawn.
    NoSequence,
    /// How far the sequence has come cannot be seen.
    HiddenSequence,
    /// A standby does not show the transactions of its primary.
    Standby,
    /// A pooler may lead to another server at each transaction.
    Pooler,
}

impl Unproven {
    /// In words, with what would help.
    pub(super) fn why(self) -> &'static str {
        match self {
            Self::NoSequence => {
                "no sequence feeds its key; \"overlap\":\"24h\" in BACKUP_MODE says that a row is committed within a day of its key"
            }
            Self::HiddenSequence => {
                "the role may not see how far its sequence has come: GRANT SELECT on the sequence"
            }
            Self::Standby => "the source is a standby, which does not show who is writing",
            Self::Pooler => {
                "the source is behind a transaction pooler, which may lead elsewhere at any moment"
            }
        }
    }
}

/// What is known of the source.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Circumstances {
    /// Whether it is a standby.
    pub(super) is_standby: bool,
    /// Whether a transaction pooler is in between.
    pub(super) is_pooled: bool,
    /// How many values at a time the sequence gives out; none where no sequence feeds the key alone.
    pub(super) sequence_cache: Option<i64>,
    /// Whether the sequence's last value can be seen.
    pub(super) sees_sequence: bool,
}

/// What proves that a bound of this table is settled.
pub(super) fn proof(increment: &Increment, source: Circumstances) -> Proof {
    let declared = increment.overlap;
    if source.is_standby || source.is_pooled {
        let why = if source.is_standby { Unproven::Standby } else { Unproven::Pooler };
        // An operator's word counts where nothing can be seen.
        return declared.map_or(Proof::None(why), Proof::Time);
    }
    match (&increment.way, source.sequence_cache, declared) {
        (_, _, Some(overlap)) => Proof::Time(overlap),
        (Way::Upsert { .. }, ..) => Proof::Time(CURSOR_OVERLAP),
        (_, Some(_), None) if !source.sees_sequence => Proof::None(Unproven::HiddenSequence),
        (_, Some(..=1), None) => Proof::Writers,
        (_, Some(_), None) => Proof::Sessions,
        (_, None, None) => Proof::None(Unproven::NoSequence),
    }
}

/// A bound with what may still commit rows below it, as seen after it was read.
pub(super) fn open_bound(
    bound: Bound,
    read_at: DateTime<Utc>,
    proof: Proof,
    seen: &UnderWay,
    relations: &[i64],
) -> Option<OpenBound> {
    let writers = || relations.iter().filter_map(|relation| seen.writers.get(relation)).flatten().cloned();
    let transactions: BTreeSet<String> = match proof {
        Proof::Writers | Proof::Sessions => writers().collect(),
        Proof::Time(_) => seen.here.clone(),
        Proof::None(_) => return None,
    };
    let sessions =
        if proof == Proof::Sessions { seen.sessions.iter().copied().collect() } else { Vec::new() };
    Some(OpenBound {
        bound,
        read_at,
        transactions: transactions.into_iter().collect(),
        sessions,
        server_started: seen.server_started.clone(),
        prepared_listed: false,
    })
}

/// Takes out of a bound what has ended, and says whether it is settled.
pub(super) fn settles(open: &mut OpenBound, seen: &UnderWay, proof: Proof, now: DateTime<Utc>) -> bool {
    if open.server_started != seen.server_started {
        // A server that was restarted has ended everything but what was prepared.
        open.transactions.clear();
        open.sessions.clear();
        open.prepared_listed = false;
        open.server_started.clone_from(&seen.server_started);
    }
    open.transactions.retain(|transaction| seen.transactions.contains(transaction));
    open.sessions.retain(|session| seen.sessions.contains(session));
    if !open.prepared_listed && open.transactions.is_empty() && open.sessions.is_empty() {
        open.transactions = seen.here.iter().filter(|id| id.starts_with(PREPARED)).cloned().collect();
        open.prepared_listed = true;
    }
    let is_old_enough = match proof {
        Proof::Writers | Proof::Sessions => true,
        Proof::Time(overlap) => (now - open.read_at).to_std().is_ok_and(|age| age >= overlap),
        Proof::None(_) => false,
    };
    is_old_enough && open.prepared_listed && open.transactions.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: i64 = 7;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_147_800 + seconds, 0).unwrap()
    }

    fn seen(transactions: &[&str], sessions: &[i32]) -> UnderWay {
        let transactions: BTreeSet<String> = transactions.iter().map(ToString::to_string).collect();
        UnderWay {
            here: transactions.clone(),
            writers: [(BOUND, transactions.clone())].into(),
            transactions,
            sessions: sessions.iter().copied().collect(),
            server_started: "monday".into(),
        }
    }

    fn open(proof: Proof, seen: &UnderWay) -> OpenBound {
        open_bound(vec!["9".into()], at(0), proof, seen, &[BOUND]).unwrap()
    }

    fn increment(way: Way, overlap: Option<u64>) -> Increment {
        Increment { way, drift: None, overlap: overlap.map(Duration::from_secs) }
    }

    #[test]
    fn a_bound_waits_for_the_transactions_of_its_moment_and_not_for_later_ones() {
        let mut open = open(Proof::Writers, &seen(&["3/1", "4/9"], &[]));
        assert!(!settles(&mut open, &seen(&["3/1", "5/1"], &[]), Proof::Writers, at(0)));
        assert_eq!(open.transactions, ["3/1"]);
        assert!(settles(&mut open, &seen(&["5/1"], &[]), Proof::Writers, at(0)));
    }

    #[test]
    fn a_transaction_that_was_prepared_meanwhile_is_waited_for_under_its_new_name() {
        let mut open = open(Proof::Writers, &seen(&["3/1"], &[]));
        assert!(!settles(&mut open, &seen(&["-1/77"], &[]), Proof::Writers, at(0)));
        assert!(!settles(&mut open, &seen(&["-1/77", "-1/78"], &[]), Proof::Writers, at(0)));
        assert!(
            settles(&mut open, &seen(&["-1/78"], &[]), Proof::Writers, at(0)),
            "a later one is not waited for"
        );
    }

    #[test]
    fn a_restart_ends_everything_but_what_was_prepared() {
        let mut open = open(Proof::Sessions, &seen(&["3/1", "-1/5"], &[12]));
        let restarted = |transactions: &[&str]| UnderWay {
            server_started: "tuesday".into(),
            ..seen(transactions, &[12])
        };
        assert!(!settles(&mut open, &restarted(&["3/1", "-1/5"]), Proof::Sessions, at(0)));
        assert!(settles(&mut open, &restarted(&["3/1"]), Proof::Sessions, at(0)));
    }

    #[test]
    fn sessions_may_hold_values_long_after_their_transactions() {
        let mut open = open(Proof::Sessions, &seen(&[], &[12, 13]));
        assert!(!settles(&mut open, &seen(&[], &[13]), Proof::Sessions, at(0)));
        assert!(settles(&mut open, &seen(&[], &[14]), Proof::Sessions, at(0)));
    }

    #[test]
    fn time_must_have_passed_and_the_transactions_ended() {
        let proof = Proof::Time(Duration::from_secs(60));
        let mut open = open(proof, &seen(&["3/1"], &[]));
        assert!(!settles(&mut open, &seen(&["3/1"], &[]), proof, at(61)));
        assert!(!settles(&mut open, &seen(&[], &[]), proof, at(59)));
        assert!(settles(&mut open, &seen(&[], &[]), proof, at(60)));
    }

    #[test]
    fn what_proves_a_bound_depends_on_what_feeds_the_key() {
        let append = |overlap| increment(Way::Append { key: vec!["id".into()] }, overlap);
        let upsert = increment(Way::Upsert { cursor: "updatedAt".into(), key: Vec::new() }, None);
        let of =
            |cache| Circumstances { sequence_cache: cache, sees_sequence: true, ..Circumstances::default() };
        assert_eq!(proof(&append(None), of(Some(1))), Proof::Writers);
        assert_eq!(proof(&append(None), of(Some(20))), Proof::Sessions);
        assert_eq!(proof(&append(None), of(None)), Proof::None(Unproven::NoSequence));
        assert_eq!(proof(&append(Some(60)), of(None)), Proof::Time(Duration::from_secs(60)));
        assert_eq!(proof(&upsert, of(None)), Proof::Time(CURSOR_OVERLAP));
        let hidden = Circumstances { sees_sequence: false, ..of(Some(1)) };
        assert_eq!(proof(&append(None), hidden), Proof::None(Unproven::HiddenSequence));
        let standby = Circumstances { is_standby: true, ..of(Some(1)) };
        assert_eq!(proof(&append(None), standby), Proof::None(Unproven::Standby));
        assert_eq!(proof(&upsert, standby), Proof::None(Unproven::Standby), "an hour proves nothing there");
        assert_eq!(proof(&append(Some(60)), standby), Proof::Time(Duration::from_secs(60)));
        let pooled = Circumstances { is_pooled: true, ..of(Some(1)) };
        assert_eq!(proof(&append(None), pooled), Proof::None(Unproven::Pooler));
    }
}
