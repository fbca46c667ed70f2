//! The settings a command needs, with all of their problems in one error.

use crate::config::{Config, Log, Variables, Web};
use crate::error::{Error, Result};

/// The variables, not yet read into types: a command asks for what it needs.
#[derive(Debug)]
pub(super) struct Settings(Variables);

impl Settings {
    /// Those of this process.
    pub(super) fn from_process() -> Result<Self> {
        Variables::from_process().map(Self)
    }

    /// For a command that touches the databases.
    pub(super) fn databases(&self) -> Result<(Config, Log)> {
        both(Config::load(&self.0), Log::load(&self.0))
    }

    /// For the web process, which touches none unless somebody may see what is in them.
    pub(super) fn web(&self) -> Result<(Web, Option<Config>, Log)> {
        let config = self.0.get("WEB_TOKEN").map(|_| Config::load(&self.0)).transpose();
        let ((web, config), log) = both(both(Web::load(&self.0), config), Log::load(&self.0))?;
        Ok((web, config, log))
    }
}

/// Two results as one; two errors as one that has the problems of both, a line each.
fn both<A, B>(left: Result<A>, right: Result<B>) -> Result<(A, B)> {
    match (left, right) {
        (Ok(left), Ok(right)) => Ok((left, right)),
        (Err(error), Ok(_)) | (Ok(_), Err(error)) => Err(error),
        (Err(left), Err(right)) => {
            let texts = format!("{left}\n{right}");
            let mut lines: Vec<&str> = texts.lines().collect();
            lines.sort_unstable();
            lines.dedup();
            let error = Error::new(left.kind(), lines.join("\n"));
            Err(match left.operator_hint() {
                Some(hint) => error.hint(hint),
                None => error,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_problems_of_the_logs_stand_among_the_others() {
        let variables = Variables::from_pairs([("LOG_FORMAT", "xml"), ("PG_RESTORE_JOBS", "0")]);
        let error = Settings(variables).databases().unwrap_err();
        let text = error.to_string();
        let named: Vec<&str> = text.lines().map(|line| line.split(':').next().unwrap()).collect();
        assert_eq!(named, ["LOG_FORMAT", "PG_RESTORE_JOBS", "SOURCE_DATABASE_URL", "TARGET_DATABASE_URL"]);
        assert_eq!(error.operator_hint(), Some("sample.env documents each variable"));
    }

    #[test]
    fn the_web_process_needs_no_database() {
        let (web, config, _) = Settings(Variables::from_pairs([("PORT", "0")])).web().unwrap();
        assert!(web.port == 0 && web.access.is_none() && config.is_none());
    }

    #[test]
    fn the_dashboard_needs_all_that_is_shown_on_it() {
        let variables = Variables::from_pairs([("WEB_TOKEN", "short"), ("LOG_LEVEL", "loud")]);
        let text = Settings(variables).web().unwrap_err().to_string();
        let named: Vec<&str> = text.lines().map(|line| line.split(':').next().unwrap()).collect();
        assert_eq!(named, ["LOG_LEVEL", "SOURCE_DATABASE_URL", "TARGET_DATABASE_URL", "WEB_TOKEN"]);
    }
}
