//! What is said of a failure, and with which exit code it ends.

use std::io::Write;
use std::panic::PanicHookInfo;

use crate::adapters::reporting;
use crate::error::{Error, ErrorKind};
use crate::events;

/// 2 for what the operator wrote, 1 for what went wrong.
pub(super) fn exit_code(error: &Error) -> u8 {
    if error.kind() == ErrorKind::Configuration { 2 } else { 1 }
}

/// Says an error once. A service that was at work says it in its log; everything else, and a configuration that no
/// service starts with, goes to standard error.
pub(super) fn report(error: &Error, service: bool) {
    if service && error.kind() != ErrorKind::Configuration {
        let hint = error.operator_hint().unwrap_or("");
        tracing::error!(error.kind = error.kind().name(), error.message = %error, hint, "{}", events::PROCESS_FAILED);
    } else {
        to_stderr(&text(error));
    }
}

/// A panic is a defect of nightferry: one sentence says where, instead of a backtrace.
pub(super) fn report_defect(panic: &PanicHookInfo<'_>) {
    let payload = panic.payload();
    let what = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    to_stderr(&defect(&place, what));
    reporting::report_panic(&place, what.lines().next().unwrap_or_default());
}

fn defect(place: &str, what: &str) -> String {
    let what = what.lines().next().unwrap_or_default();
    format!("error: a defect of nightferry itself, at {place}: {what}\nhint: please report this line\n")
}

fn text(error: &Error) -> String {
    // A configuration error has a line for each problem.
    let sentence = error.to_string().replace('\n', "\n       ");
    match error.operator_hint() {
        Some(hint) => format!("error: {sentence}\nhint: {hint}\n"),
        None => format!("error: {sentence}\n"),
    }
}

fn to_stderr(text: &str) {
    // Nobody is left to be told when standard error is closed.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_sentence_and_what_to_do() {
        let error = Error::new(ErrorKind::Privilege, "cannot create the ledger").hint("grant CREATE");
        assert_eq!(text(&error), "error: cannot create the ledger\nhint: grant CREATE\n");
        assert_eq!(exit_code(&error), 1);
    }

    #[test]
    fn several_problems_stand_below_each_other() {
        let error = Error::new(ErrorKind::Configuration, "PORT: no\nREDIS_URL: no");
        assert_eq!(text(&error), "error: PORT: no\n       REDIS_URL: no\n");
        assert_eq!(exit_code(&error), 2);
    }

    #[test]
    fn a_defect_is_one_sentence_however_long_its_message() {
        assert_eq!(
            defect("src/x.rs:1:2", "left\nright"),
            "error: a defect of nightferry itself, at src/x.rs:1:2: left\nhint: please report this line\n"
        );
    }
}
