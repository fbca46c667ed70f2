//! How pushed backups are named: `PREFIX-YYYYMMDD-HHMMSS`, the second in UTC that the dump began in.

use chrono::{DateTime, NaiveDateTime, Utc};

/// The end of a name whose bytes were not read back yet. Only what has been is renamed, so that a name without it is a whole backup.
pub const UNVERIFIED: &str = ".unverified";

const STAMP: &str = "-%Y%m%d-%H%M%S";
const STAMP_LENGTH: usize = "-YYYYMMDD-HHMMSS".len();

/// The name of a backup that begins now.
#[must_use]
pub fn at(prefix: &str, instant: DateTime<Utc>) -> String {
    format!("{prefix}{}", instant.format(STAMP))
}

/// The moment in a name that was given by [`at`], whatever its prefix.
#[must_use]
pub fn moment(name: &str) -> Option<DateTime<Utc>> {
    let stamp = name.len().checked_sub(STAMP_LENGTH).and_then(|start| name.get(start..))?;
    let is_stamp = |(byte, form): (u8, u8)| if form == b'-' { byte == b'-' } else { byte.is_ascii_digit() };
    if !stamp.bytes().zip(*b"-00000000-000000").all(is_stamp) {
        return None;
    }
    NaiveDateTime::parse_from_str(stamp, STAMP).ok().map(|moment| moment.and_utc())
}

/// The moment in a name that was given by [`at`] with this prefix: what has another name is somebody else's.
#[must_use]
pub fn moment_of_ours(prefix: &str, name: &str) -> Option<DateTime<Utc>> {
    name.strip_prefix(prefix).filter(|rest| rest.len() == STAMP_LENGTH).and_then(moment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;

    #[test]
    fn a_name_ends_with_its_second_and_gives_it_back() {
        let instant = Utc.with_ymd_and_hms(2026, 11, 20, 1, 2, 3).unwrap();
        let name = at("nightly/app", instant);
        assert_eq!(name, "nightly/app-20261120-010203");
        assert_eq!(moment(&name), Some(instant));
        assert_eq!(moment_of_ours("nightly/app", &name), Some(instant));
    }

    #[test]
    fn another_name_is_not_ours() {
        for other in [
            "app",
            "app-20261120-010203.unverified",
            "app-20261320-010203",
            "app-20261120-016003",
            "app-20261120010203-",
            "app-+0261120-010203",
            "app-é0261120-01020",
            "-010203",
        ] {
            assert_eq!(moment(other), None, "{other}");
        }
        assert_eq!(moment_of_ours("app", "app-eu-20261120-010203"), None);
        assert_eq!(moment_of_ours("nightly/app", "app-20261120-010203"), None);
        assert!(moment("app-eu-20261120-010203").is_some());
    }
}
