//! Several failures as one error.

use crate::error::{Error, Result};

/// One error for all failures, each with its hint. It is of a kind that may be retried where that may help one of them:
/// another try does not hurt what the others stand for.
///
/// # Errors
/// There were failures. A single one is given back as it is.
pub(super) fn one_error(mut failures: Vec<Error>, what: impl FnOnce(usize) -> String) -> Result<()> {
    if failures.len() < 2 {
        return failures.pop().map_or(Ok(()), Err);
    }
    let kinds = || failures.iter().map(Error::kind);
    let Some(kind) = kinds().find(|kind| kind.is_retryable()).or_else(|| kinds().next()) else {
        return Ok(());
    };
    let texts = failures.iter().map(|failure| match failure.operator_hint() {
        Some(hint) => format!("{failure} ({hint})"),
        None => failure.to_string(),
    });
    let texts = texts.collect::<Vec<_>>().join("; ");
    Err(Error::new(kind, format!("{}: {texts}", what(failures.len()))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn several_failures_are_one_error_that_may_be_retried_where_one_of_them_may() {
        let failures = vec![
            Error::new(ErrorKind::Schema, "b has no id").hint("add one"),
            Error::new(ErrorKind::Connection, "a: lost"),
        ];
        let error = one_error(failures, |count| format!("{count} tables failed")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Connection);
        assert_eq!(error.to_string(), "2 tables failed: b has no id (add one); a: lost");
    }

    #[test]
    fn what_can_never_succeed_stays_so_and_a_single_failure_is_itself() {
        let rejected = || Error::new(ErrorKind::Rejected, "x").hint("h");
        let error = one_error(vec![rejected(), rejected()], |_| String::new()).unwrap_err();
        assert!(!error.kind().is_retryable());
        let error = one_error(vec![rejected()], |_| String::new()).unwrap_err();
        assert_eq!((error.to_string().as_str(), error.operator_hint()), ("x", Some("h")));
        assert!(one_error(Vec::new(), |_| String::new()).is_ok());
    }
}
