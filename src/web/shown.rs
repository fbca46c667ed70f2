//! How what the ledger has is written on a page (pure). Askama escapes markup; this is for what escaping leaves.

use std::fmt::Write;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use crate::format;

/// A name or a sentence; characters that nobody would see are spelled out.
pub(super) fn text(raw: &str) -> String {
    let mut shown = String::with_capacity(raw.len());
    for c in raw.chars() {
        if format::is_hidden(c) {
            let _ = write!(shown, "{}", c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// `Sat 21 Nov 2026, 05:10`.
pub(super) fn moment(at: DateTime<Utc>, zone: Tz) -> String {
    at.with_timezone(&zone).format("%a %-d %b %Y, %H:%M").to_string()
}

/// `05:10:07`.
pub(super) fn clock_time(at: DateTime<Utc>, zone: Tz) -> String {
    at.with_timezone(&zone).format("%H:%M:%S").to_string()
}

/// `Sat 21 Nov`.
pub(super) fn day(at: DateTime<Utc>, zone: Tz) -> String {
    at.with_timezone(&zone).format("%a %-d %b").to_string()
}

/// `21 Nov 2026`.
pub(super) fn date(at: DateTime<Utc>, zone: Tz) -> String {
    at.with_timezone(&zone).format("%-d %b %Y").to_string()
}

/// What `<time datetime>` wants.
pub(super) fn machine(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// How long it took; one that has not ended has taken until now.
pub(super) fn took(started: DateTime<Utc>, ended: Option<DateTime<Utc>>, now: DateTime<Utc>) -> String {
    duration(ended.unwrap_or(now) - started)
}

/// A span, never below nothing: clocks may differ.
pub(super) fn duration(span: TimeDelta) -> String {
    format::duration(span.to_std().unwrap_or_default())
}

/// Milliseconds.
pub(super) fn millis(millis: i64) -> String {
    format::duration(Duration::from_millis(millis.max(0).unsigned_abs()))
}

/// How long ago, without false exactness.
pub(super) fn ago(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let minutes = (now - at).num_minutes().max(0);
    match minutes {
        0 => "less than a minute ago".to_owned(),
        1..120 => format!("{minutes} min ago"),
        120..2880 => format!("{} hours ago", minutes / 60),
        _ => format!("{} days ago", minutes / 1440),
    }
}

/// A count of rows.
pub(super) fn count(number: i64) -> String {
    format::count(number.max(0).unsigned_abs())
}

/// A count of rows with its word: `1 row`.
pub(super) fn rows(number: i64) -> String {
    format::counted(usize::try_from(number).unwrap_or(0), "row", "rows")
}

/// A size.
pub(super) fn bytes(number: i64) -> String {
    format::bytes(number.max(0).unsigned_abs())
}

/// `+1,200`, `−3`, `0`: what a table has more or less.
pub(super) fn growth(rows: i64) -> String {
    let number = format::count(rows.unsigned_abs());
    match rows.signum() {
        1 => format!("+{number}"),
        -1 => format!("−{number}"),
        _ => number,
    }
}

/// A URL of this process with these parameters; those that are empty are left out.
pub(super) fn link(path: &str, parameters: &[(&str, &str)]) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in parameters.iter().filter(|(_, value)| !value.is_empty()) {
        query.append_pair(name, value);
    }
    let query = query.finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// The page of a run. Its name is letters, digits and hyphens, wherever it was made here.
pub(super) fn night_link(run: &str) -> String {
    let encoded: String = url::form_urlencoded::byte_serialize(run.as_bytes()).collect();
    format!("/nights/{}", encoded.replace('+', "%20"))
}

/// The page of a table.
pub(super) fn table_link(schema: &str, name: &str) -> String {
    link("/table", &[("schema", schema), ("name", name)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_sees_is_spelled_out() {
        assert_eq!(text("a\u{202e}gnp.exe\n"), "a\\u{202e}gnp.exe\\u{a}");
        assert_eq!(text("élèves שלום 日本 <b>"), "élèves שלום 日本 <b>", "letters stay as they are");
    }

    #[test]
    fn no_hidden_letter_gets_into_a_page() {
        let hidden = format::hidden_letters();
        let shown = text(&hidden);
        assert!(!shown.contains(format::is_hidden));
        assert_eq!(shown.matches("\\u{").count(), hidden.chars().count(), "each is spelled out");
    }

    #[test]
    fn times_are_those_of_the_schedules_zone() {
        let at = "2026-11-21T04:10:07Z".parse().unwrap();
        assert_eq!(moment(at, chrono_tz::Europe::Paris), "Sat 21 Nov 2026, 05:10");
        assert_eq!(
            (clock_time(at, chrono_tz::UTC), machine(at)),
            ("04:10:07".into(), "2026-11-21T04:10:07Z".into())
        );
    }

    #[test]
    fn a_clock_that_is_behind_gives_no_negative_time() {
        let at: DateTime<Utc> = "2026-11-21T04:10:07Z".parse().unwrap();
        let before = at - TimeDelta::seconds(90);
        assert_eq!(
            (took(at, Some(before), at), ago(at, before)),
            ("0.00 s".into(), "less than a minute ago".into())
        );
        assert_eq!(ago(before, at), "1 min ago");
        assert_eq!(ago(at - TimeDelta::days(3), at), "3 days ago");
    }

    #[test]
    fn a_link_carries_any_name() {
        let name = "a/../b%2F&x=\"<é ";
        let link = link("/table", &[("schema", "public"), ("name", name), ("q", "")]);
        let (_, query) = link.split_once('?').unwrap();
        assert!(query.chars().all(|c| c.is_ascii_alphanumeric() || "=&%+-_.*".contains(c)), "{query}");
        let read: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        assert_eq!(read, [("schema".into(), "public".into()), ("name".into(), name.to_owned())]);
    }

    #[test]
    fn growth_has_its_sign() {
        assert_eq!([growth(1_200), growth(-3), growth(0)], ["+1,200", "−3", "0"]);
    }
}
