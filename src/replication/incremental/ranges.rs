//! Where two sides of a table differ: buckets of the key, of each the number of rows and the sum of their hashes.
//!
//! One pass over the source's keys gives fine bounds, one for some ten thousand rows. Both sides are then asked for coarse buckets,
//! at the same time and in one pass each; only those that differ are asked again, finer. Equal sides are read once.

use super::key::{Bound, Key, Stretch};
use crate::adapters::postgres::Session;
use crate::adapters::postgres::columns::{Column, columns_of};
use crate::adapters::postgres::comparing::{self, Bucket};
use crate::adapters::postgres::ident::ident;
use crate::error::Result;

/// A stretch whose rows differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Difference {
    /// Which keys.
    pub(super) stretch: Stretch,
    /// How many rows the source has there.
    pub(super) source_rows: i64,
    /// How many the warehouse.
    pub(super) warehouse_rows: i64,
}

/// What a comparison found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Compared {
    /// Where the rows differ, in the order of the key.
    pub(super) differences: Vec<Difference>,
    /// How many rows the source has altogether.
    pub(super) source_rows: i64,
    /// How many the warehouse.
    pub(super) warehouse_rows: i64,
}

/// Two sides of a table, and what of their rows is compared.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sides<'a> {
    /// What orders the source's rows.
    pub(super) source: &'a Key,
    /// The same on the warehouse.
    pub(super) warehouse: &'a Key,
    /// The columns that are hashed.
    pub(super) hashed: &'a [String],
    /// A condition on `t` for the rows of the warehouse that count; none for all.
    pub(super) warehouse_rows: Option<&'a str>,
}

/// Rows of the source between two fine bounds.
pub(super) const FINE: usize = 10_000;

/// Fine bounds that are kept at most: of a larger table, buckets are larger.
const MOST_BOUNDS: usize = 50_000;

/// Buckets that a side is asked for at a time. The server walks through the bounds for each row.
const BUCKETS: usize = 250;

/// Amounts of money have no sign of a country then. The planner cannot know that there are few buckets, and would sort whole
/// tables on the server's disk; with sorts off, what must sort looks so dear to it that it would compile it first.
const BEGIN: &str = "savepoint nightferry_compare; set local lc_monetary = 'C'; set local enable_sort = off; set local jit = off";
const END: &str = "rollback to savepoint nightferry_compare; release savepoint nightferry_compare";

/// The stretches within `within` whose rows differ in the `hashed` columns, in the order of the key.
///
/// # Errors
/// Those of [`compare`].
pub(super) async fn differing(
    source: &mut Session,
    warehouse: &mut Session,
    (source_key, warehouse_key): (&Key, &Key),
    within: &Stretch,
    hashed: &[String],
) -> Result<Vec<Difference>> {
    let sides = Sides { source: source_key, warehouse: warehouse_key, hashed, warehouse_rows: None };
    Ok(compare(source, warehouse, sides, within).await?.differences)
}

/// Compares the rows of a stretch. Rows without a key are left out.
///
/// Both sessions are in a transaction; that of the source sees one moment.
///
/// # Errors
/// A side cannot be read; its transaction can only be rolled back then.
pub(super) async fn compare(
    source: &mut Session,
    warehouse: &mut Session,
    sides: Sides<'_>,
    within: &Stretch,
) -> Result<Compared> {
    let (there, here) = futures::join!(source.execute(BEGIN), warehouse.execute(BEGIN));
    there.and(here)?;
    let compared = compare_within(source, warehouse, sides, within).await?;
    let (there, here) = futures::join!(source.execute(END), warehouse.execute(END));
    there.and(here)?;
    Ok(compared)
}

async fn compare_within(
    source: &mut Session,
    warehouse: &mut Session,
    sides: Sides<'_>,
    within: &Stretch,
) -> Result<Compared> {
    let table = sides.source.table();
    let hashes = Hashes::read(source, warehouse, &sides).await?;
    let bounds = spread_of(source, sides.source, within).await?;
    let mut found: Vec<(usize, Difference)> = Vec::new();
    let mut rows = None;
    let mut open = vec![Piece { stretch: within.clone(), first: 0, inner: &bounds }];
    while let Some(piece) = open.pop() {
        let parts = piece.split();
        let of_source = statement(sides.source, None, &hashes.source, &piece, &parts);
        let of_warehouse =
            statement(sides.warehouse, sides.warehouse_rows, &hashes.warehouse, &piece, &parts);
        // Both end, whatever the other's end is: a session that is left in mid-answer could not go on.
        let (there, here) = futures::join!(
            comparing::buckets(source, table, &of_source),
            comparing::buckets(warehouse, table, &of_warehouse)
        );
        let (there, here) = (by_number(there?, parts.len()), by_number(here?, parts.len()));
        // The first piece is the whole.
        rows.get_or_insert_with(|| {
            (there.iter().map(|part| part.0).sum(), here.iter().map(|part| part.0).sum())
        });
        let differs: Vec<usize> = (0..parts.len()).filter(|&at| there[at] != here[at]).collect();
        // Where most buckets differ, to look closer costs more than it saves.
        let looks_closer = differs.len() * 2 <= parts.len() || parts.len() == 1;
        for at in differs {
            let (source_rows, warehouse_rows) = (there[at].0, here[at].0);
            let part = &parts[at];
            if looks_closer && !part.inner.is_empty() && source_rows > 0 && warehouse_rows > 0 {
                open.push(part.clone());
            } else {
                let stretch = part.stretch.clone();
                found.push((part.first, Difference { stretch, source_rows, warehouse_rows }));
            }
        }
    }
    found.sort_by_key(|(first, _)| *first);
    let differences = found.into_iter().map(|(_, difference)| difference).collect();
    let (source_rows, warehouse_rows) = rows.unwrap_or_default();
    Ok(Compared { differences, source_rows, warehouse_rows })
}

/// Differences that follow each other without a gap as one.
pub(super) fn joined(differences: Vec<Difference>) -> Vec<Difference> {
    let mut joined: Vec<Difference> = Vec::new();
    for difference in differences {
        match joined.last_mut() {
            Some(last) if last.stretch.upto.is_some() && last.stretch.upto == difference.stretch.after => {
                last.stretch.upto = difference.stretch.upto;
                last.source_rows += difference.source_rows;
                last.warehouse_rows += difference.warehouse_rows;
            }
            _ => joined.push(difference),
        }
    }
    joined
}

/// Differences in batches of about `most` rows, to be copied one batch after the other; in a batch, those that follow each other
/// are one. Where no index serves the key, each batch reads the whole table: better few than many.
pub(super) fn batches(differences: Vec<Difference>, most: i64) -> Vec<Vec<Difference>> {
    let mut batches: Vec<Vec<Difference>> = Vec::new();
    let mut room = 0_i64;
    for difference in differences {
        let rows = difference.source_rows.saturating_add(difference.warehouse_rows);
        match batches.last_mut() {
            Some(batch) if rows <= room => batch.push(difference),
            _ => {
                room = most;
                batches.push(vec![difference]);
            }
        }
        room = room.saturating_sub(rows);
    }
    batches.into_iter().map(joined).collect()
}

/// The rows of several stretches, as a condition on `t`.
pub(super) fn any_of<'a>(key: &Key, stretches: impl Iterator<Item = &'a Stretch>) -> String {
    let conditions: Vec<String> = stretches.map(|stretch| format!("({})", key.within(stretch))).collect();
    if conditions.is_empty() { "false".to_owned() } else { format!("({})", conditions.join(" or ")) }
}

/// A stretch with the fine bounds in it.
#[derive(Debug, Clone)]
struct Piece<'b> {
    stretch: Stretch,
    /// The place of its first fine bound among all of them.
    first: usize,
    inner: &'b [Bound],
}

impl<'b> Piece<'b> {
    /// Splits it at some of its fine bounds, all of them where they are few.
    fn split(&self) -> Vec<Self> {
        let every = (self.inner.len() + 1).div_ceil(BUCKETS);
        let mut parts = Vec::new();
        let (mut after, mut rest, mut first) = (self.stretch.after.clone(), self.inner, self.first);
        while rest.len() >= every {
            let bound = &rest[every - 1];
            let stretch = Stretch { after, upto: Some(bound.clone()) };
            parts.push(Self { stretch, first, inner: &rest[..every - 1] });
            (after, rest, first) = (Some(bound.clone()), &rest[every..], first + every);
        }
        parts.push(Self { stretch: Stretch { after, upto: self.stretch.upto.clone() }, first, inner: rest });
        parts
    }
}

/// The rows and the sum of the hashes of each bucket; a bucket without rows has none.
fn by_number(buckets: Vec<Bucket>, parts: usize) -> Vec<(i64, Option<String>)> {
    let mut answers = vec![(0, None); parts];
    for bucket in buckets {
        if let Some(answer) = usize::try_from(bucket.bucket).ok().and_then(|number| answers.get_mut(number)) {
            *answer = (bucket.rows, Some(bucket.checksum));
        }
    }
    answers
}

/// The bounds of a stretch, in order: one for each [`FINE`] rows.
///
/// # Errors
/// The source cannot be read.
pub(super) async fn spread_of(source: &mut Session, key: &Key, within: &Stretch) -> Result<Vec<Bound>> {
    let doing = format!("cannot read the keys of {}", key.table());
    comparing::spread(source, &fine_bounds(key, within), MOST_BOUNDS, &doing).await
}

fn fine_bounds(key: &Key, within: &Stretch) -> String {
    format!(
        "select bound from (select {bound} as bound, row_number() over (order by {order}) as number \
         from {relation} where {within}) as keys where number % {FINE} = 0 order by number",
        bound = key.as_bound(),
        order = key.order(),
        relation = key.relation(),
        within = key.within(within),
    )
}

fn statement(key: &Key, rows: Option<&str>, hash: &str, piece: &Piece<'_>, parts: &[Piece<'_>]) -> String {
    let bounds: Vec<Bound> =
        parts.iter().rev().skip(1).rev().filter_map(|part| part.stretch.upto.clone()).collect();
    format!(
        "select {place}::bigint as bucket, count(*) as rows, sum({hash})::text as checksum from {relation} \
         where {within}{rows} group by 1",
        place = key.bounds_below(&bounds),
        relation = key.relation(),
        within = key.within(&piece.stretch),
        rows = rows.map(|rows| format!(" and {rows}")).unwrap_or_default(),
    )
}

/// The SQL of a row's hash on either side.
struct Hashes {
    source: String,
    warehouse: String,
}

impl Hashes {
    async fn read(source: &mut Session, warehouse: &mut Session, sides: &Sides<'_>) -> Result<Self> {
        let table = sides.source.table();
        let there = columns_of(source, table).await?;
        let here = columns_of(warehouse, table).await?;
        let of_source: Vec<String> = sides.hashed.iter().map(|name| as_stored(name, &there, &here)).collect();
        let of_warehouse: Vec<String> =
            sides.hashed.iter().map(|name| format!("t.{}", ident(name))).collect();
        Ok(Self { source: comparing::hash(&of_source), warehouse: comparing::hash(&of_warehouse) })
    }
}

/// A value of the source as the warehouse would store it. Its text is the same for most types; numbers and times with another
/// precision are rounded on their way.
fn as_stored(name: &str, there: &[Column], here: &[Column]) -> String {
    let of = |columns: &[Column]| columns.iter().find(|column| column.name == name).cloned();
    let value = format!("t.{}", ident(name));
    match (of(there), of(here)) {
        (Some(one), Some(other)) if one.type_name != other.type_name && is_rounded(&other.type_name) => {
            format!("cast({value} as {})", other.type_name)
        }
        _ => value,
    }
}

fn is_rounded(type_name: &str) -> bool {
    ["numeric", "timestamp", "time", "interval", "character(", "double precision", "real"]
        .iter()
        .any(|start| type_name.starts_with(start))
        && !type_name.ends_with(']')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(number: usize) -> Vec<Bound> {
        (1..=number).map(|bound| vec![bound.to_string()]).collect()
    }

    fn stretches(parts: &[Piece<'_>]) -> Vec<(Option<String>, Option<String>)> {
        let first = |bound: &Option<Bound>| bound.as_ref().map(|texts| texts[0].clone());
        parts.iter().map(|part| (first(&part.stretch.after), first(&part.stretch.upto))).collect()
    }

    fn difference(after: &str, upto: &str) -> Difference {
        let bound = |text: &str| (!text.is_empty()).then(|| vec![text.to_owned()]);
        Difference {
            stretch: Stretch { after: bound(after), upto: bound(upto) },
            source_rows: 2,
            warehouse_rows: 1,
        }
    }

    #[test]
    fn few_bounds_are_all_used_and_without_any_there_is_one_part() {
        let (none, two) = (bounds(0), bounds(2));
        let of = |inner| Piece { stretch: Stretch::default(), first: 0, inner };
        assert_eq!(stretches(&of(&none).split()), [(None, None)]);
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            stretches(&of(&two).split()),
            [(None, some("1")), (some("1"), some("2")), (some("2"), None)]
        );
    }

    #[test]
    fn many_bounds_are_split_again_until_each_was_used_once() {
        for number in [BUCKETS - 1, BUCKETS, BUCKETS + 1, 10 * BUCKETS + 7, BUCKETS * BUCKETS] {
            let all = bounds(number);
            let mut open = vec![Piece { stretch: Stretch::default(), first: 0, inner: &all }];
            let mut leaves = Vec::new();
            while let Some(piece) = open.pop() {
                let parts = piece.split();
                assert!(parts.len() <= BUCKETS, "{number}: {} parts", parts.len());
                let (done, more): (Vec<_>, Vec<_>) =
                    parts.into_iter().partition(|part| part.inner.is_empty());
                leaves.extend(done);
                open.extend(more);
            }
            leaves.sort_by_key(|leaf| leaf.first);
            let expected: Vec<_> = (0..=number)
                .map(|at| ((at > 0).then(|| at.to_string()), (at < number).then(|| (at + 1).to_string())))
                .collect();
            assert_eq!(stretches(&leaves), expected, "{number}");
        }
    }

    #[test]
    fn what_follows_without_a_gap_is_one_difference() {
        let found = joined(vec![
            difference("", "1"),
            difference("1", "2"),
            difference("5", "6"),
            difference("6", ""),
        ]);
        let (first, second) = (&found[0], &found[1]);
        assert_eq!(found.len(), 2);
        assert_eq!((&first.stretch, first.source_rows), (&difference("", "2").stretch, 4));
        assert_eq!((&second.stretch, second.warehouse_rows), (&difference("5", "").stretch, 2));
    }

    #[test]
    fn a_batch_holds_as_many_rows_as_it_may_and_never_none() {
        let found =
            || vec![difference("", "1"), difference("1", "2"), difference("5", "6"), difference("6", "")];
        let sizes = |most| batches(found(), most).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(i64::MAX), [2], "those without a gap are one");
        assert_eq!(sizes(9), [2, 1]);
        assert_eq!(sizes(6), [1, 1]);
        assert_eq!(sizes(1), [1, 1, 1, 1]);
        assert_eq!(batches(Vec::new(), 1), Vec::<Vec<Difference>>::new());
    }

    #[test]
    fn only_types_that_round_are_cast_on_their_way() {
        let column = |type_name: &str| Column {
            name: "x".into(),
            type_name: type_name.into(),
            cast_type: type_name.into(),
            not_null: false,
            has_default: false,
            generated: false,
            collatable: false,
        };
        let stored = |one: &str, other: &str| as_stored("x", &[column(one)], &[column(other)]);
        assert_eq!(stored("integer", "bigint"), "t.\"x\"");
        assert_eq!(stored("numeric(10,2)", "numeric(10,2)"), "t.\"x\"");
        assert_eq!(stored("numeric(10,2)", "numeric(12,4)"), "cast(t.\"x\" as numeric(12,4))");
        assert_eq!(stored("varchar(10)", "text"), "t.\"x\"");
        assert_eq!(stored("numeric(1,0)[]", "numeric(2,1)[]"), "t.\"x\"");
    }
}
