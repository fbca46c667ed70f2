//! Which pushed backups stay: `BACKUP_KEEP`.

use crate::adapters::ledger::Recorder;
use crate::adapters::objects::backup_name::moment_of_ours;
use crate::adapters::objects::s3::Bucket;
use crate::error::Result;
use crate::events;
use crate::outcome::Skipped;

/// Removes what is beyond the newest `keep`. What cannot be removed is told, and no failure: the push was good.
///
/// # Errors
/// The ledger cannot be reached.
pub(super) async fn keep(
    bucket: &Bucket,
    prefix: &str,
    keep: usize,
    pushed: &str,
    recorder: &Recorder,
) -> Result<()> {
    let told = |object: &str, reason: String| Skipped { object: object.to_owned(), reason, definition: None };
    let listed = match bucket.backups(prefix).await {
        Ok(listed) => listed,
        Err(error) => return recorder.skipped(told("the removal of old backups", error.to_string())).await,
    };
    let names: Vec<String> = listed.into_iter().map(|backup| backup.id).collect();
    for name in beyond(&names, prefix, keep, pushed) {
        if let Err(error) = bucket.delete(name).await {
            recorder.skipped(told(&format!("the removal of backup {name}"), error.to_string())).await?;
            continue;
        }
        recorder.ledger().backup_removed(bucket.name(), name).await?;
        tracing::info!(bucket = bucket.name(), backup = name, "{}", events::BACKUP_REMOVED);
    }
    Ok(())
}

/// The backups that are beyond the newest `keep`. `pushed`, which was verified a moment ago, is never among them, whatever the clocks said when the others
/// were named; nor is anything that another name shows to be somebody else's.
fn beyond<'a>(names: &'a [String], prefix: &str, keep: usize, pushed: &str) -> Vec<&'a str> {
    let ours = |name: &'a String| Some((moment_of_ours(prefix, name)?, name.as_str()));
    let mut others: Vec<_> = names.iter().filter(|name| *name != pushed).filter_map(ours).collect();
    others.sort_unstable();
    others.into_iter().rev().skip(keep.saturating_sub(1)).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(of: &[&str]) -> Vec<String> {
        of.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn the_newest_stay() {
        let names = names(&[
            "app-20261101-000000",
            "app-20261103-000000",
            "app-20261102-235959",
            "app-20261104-000000",
        ]);
        let beyond = |keep| beyond(&names, "app", keep, "app-20261104-000000");
        assert_eq!(beyond(2), ["app-20261102-235959", "app-20261101-000000"]);
        assert_eq!(beyond(1), ["app-20261103-000000", "app-20261102-235959", "app-20261101-000000"]);
        assert_eq!(beyond(0), beyond(1));
        assert_eq!(beyond(4), Vec::<&str>::new());
        assert_eq!(beyond(usize::MAX), Vec::<&str>::new());
    }

    #[test]
    fn what_was_just_verified_stays_even_where_an_older_one_has_a_name_of_the_future() {
        let names = names(&["app-20261104-000000", "app-20991231-000000"]);
        assert_eq!(beyond(&names, "app", 1, "app-20261104-000000"), ["app-20991231-000000"]);
    }

    #[test]
    fn what_has_another_name_is_left_alone() {
        let others = [
            "app",
            "app-eu-20261101-000000",
            "app-20261101-000000.gz",
            "app-20261101",
            "app-20261399-000000",
            "xapp-20261101-000000",
        ];
        let names = names(&[&others[..], &["app-20261101-000000", "app-20261104-000000"]].concat());
        assert_eq!(beyond(&names, "app", 1, "app-20261104-000000"), ["app-20261101-000000"]);
    }
}
