//! The room on this machine's disk.

use std::path::Path;

use bytesize::ByteSize;

use crate::error::{Error, ErrorKind, Result};

/// Whether so many bytes fit below a folder, in which `freed` bytes go before.
///
/// # Errors
/// They do not, or the file system does not say.
pub(super) fn check(folder: &Path, needed: u64, freed: u64) -> Result<()> {
    let there = rustix::fs::statvfs(folder).map_err(|error| {
        Error::new(ErrorKind::Configuration, format!("cannot look at WORK_DIR {}", folder.display()))
            .hint("set WORK_DIR to a folder that is there and can be written to")
            .because(std::io::Error::from(error))
    })?;
    let free = there.f_bavail.saturating_mul(there.f_frsize).saturating_add(freed);
    if free >= needed {
        return Ok(());
    }
    let text = format!(
        "the backup takes {}, and WORK_DIR {} has room for {}",
        ByteSize(needed).display().si(),
        folder.display(),
        ByteSize(free).display().si()
    );
    Err(Error::new(ErrorKind::Refused, text).hint("make room, or set WORK_DIR to a folder on a larger disk"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_with_both_sizes() {
        let folder = tempfile::tempdir().unwrap();
        check(folder.path(), 1, 0).unwrap();
        check(folder.path(), u64::MAX, u64::MAX).unwrap();
        let text = check(folder.path(), u64::MAX, 0).unwrap_err().to_string();
        assert!(text.starts_with("the backup takes 18.4 EB, and WORK_DIR "), "{text}");
        assert!(check(&folder.path().join("missing"), 1, 0).is_err());
    }
}
