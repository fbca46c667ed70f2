//! What a browser shows instead of the token once it has signed in: its role, until when, and a code (HMAC-SHA256, RFC 2104) that only
//! this process can have made. Nothing is kept here: a process that is started again knows its visitors, and a changed token ends
//! every session.

use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::config::{Access, Secret};

/// How long a browser stays signed in: a working day.
pub(super) const LASTS: TimeDelta = TimeDelta::hours(12);

/// What a visitor may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::web) enum Role {
    /// Read.
    Reader,
    /// Read, retry jobs, pause queues.
    Operator,
}

impl Role {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Operator => "operator",
        }
    }
}

impl FromStr for Role {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Reader, Self::Operator].into_iter().find(|role| role.name() == text).ok_or(())
    }
}

/// The role that a token opens. The time that it takes says nothing of the right one.
pub(super) fn role_of_token(access: &Access, given: &str) -> Option<Role> {
    let same = |token: &Secret| {
        let given = keyed(given.as_bytes()).chain_update("nightferry token").finalize().into_bytes();
        keyed(token.expose().as_bytes()).chain_update("nightferry token").verify_slice(&given).is_ok()
    };
    let may_act = access.operator_token.as_ref().is_some_and(same);
    let may_read = same(&access.token);
    if may_act { Some(Role::Operator) } else { may_read.then_some(Role::Reader) }
}

/// What the cookie says.
pub(super) fn written(access: &Access, role: Role, now: DateTime<Utc>) -> String {
    let claim = format!("{}.{}", role.name(), (now + LASTS).timestamp());
    let code = URL_SAFE_NO_PAD.encode(code(access, &claim).finalize().into_bytes());
    format!("{claim}.{code}")
}

/// The role in a cookie that was written here and still counts.
pub(super) fn role_of_cookie(access: &Access, cookie: &str, now: DateTime<Utc>) -> Option<Role> {
    let (claim, given) = cookie.rsplit_once('.')?;
    let given = URL_SAFE_NO_PAD.decode(given).ok()?;
    code(access, claim).verify_slice(&given).ok()?;
    let (role, until) = claim.split_once('.')?;
    let (role, until): (Role, i64) = (role.parse().ok()?, until.parse().ok()?);
    // Where operators have no token, the readers know all that the code is made with, and can make one.
    let may_be = role == Role::Reader || access.operator_token.is_some();
    (may_be && now.timestamp() < until).then_some(role)
}

fn code(access: &Access, claim: &str) -> Hmac<Sha256> {
    let operator = access.operator_token.as_ref().map_or("", Secret::expose);
    // No token has a line break in it.
    let key = format!("nightferry session\n{}\n{operator}", access.token.expose());
    keyed(key.as_bytes()).chain_update(claim)
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    // A key may have any length (RFC 2104, 2).
    Hmac::new_from_slice(key).unwrap_or_else(|_| unreachable!("a key of any length is taken"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(token: &str, operator: Option<&str>) -> Access {
        Access { token: Secret::new(token), operator_token: operator.map(Secret::new) }
    }

    fn now() -> DateTime<Utc> {
        "2026-11-20T08:30:00Z".parse().unwrap()
    }

    #[test]
    fn each_token_opens_its_role_and_no_other_text_does() {
        let access = access("the-reader's-token", Some("the-operator's-token"));
        assert_eq!(role_of_token(&access, "the-reader's-token"), Some(Role::Reader));
        assert_eq!(role_of_token(&access, "the-operator's-token"), Some(Role::Operator));
        for wrong in ["", "the-reader's-toke", "the-reader's-token ", "The-reader's-token"] {
            assert_eq!(role_of_token(&access, wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_session_counts_until_its_time_is_over() {
        let access = access("the-reader's-token", None);
        let cookie = written(&access, Role::Reader, now());
        assert_eq!(role_of_cookie(&access, &cookie, now()), Some(Role::Reader));
        assert_eq!(
            role_of_cookie(&access, &cookie, now() + LASTS - TimeDelta::seconds(1)),
            Some(Role::Reader)
        );
        assert_eq!(role_of_cookie(&access, &cookie, now() + LASTS), None);
    }

    #[test]
    fn a_session_that_was_tampered_with_is_none() {
        let access = access("the-reader's-token", Some("the-operator's-token"));
        let cookie = written(&access, Role::Reader, now());
        let code = cookie.rsplit('.').next().unwrap();
        let later = (now() + LASTS * 2).timestamp();
        for forged in [
            cookie.replace("reader", "operator"),
            format!("reader.{later}.{code}"),
            format!("{cookie}A"),
            cookie[..cookie.len() - 2].to_owned(),
            "operator".to_owned(),
            "..".to_owned(),
            String::new(),
        ] {
            assert_eq!(role_of_cookie(&access, &forged, now()), None, "{forged}");
        }
    }

    /// As somebody computes it who has the token of readers, and has read this file.
    #[test]
    fn a_reader_makes_nobody_an_operator() {
        let claim = format!("operator.{}", (now() + LASTS).timestamp());
        let forged = |key: &str| {
            let code = keyed(key.as_bytes()).chain_update(&claim).finalize().into_bytes();
            format!("{claim}.{}", URL_SAFE_NO_PAD.encode(code))
        };
        for operator_token in [None, Some("the-operator's-token")] {
            let access = access("the-reader's-token", operator_token);
            let cookie = forged("nightferry session\nthe-reader's-token\n");
            assert_eq!(role_of_cookie(&access, &cookie, now()), None, "{operator_token:?}");
        }
        let with_both = access("the-reader's-token", Some("the-operator's-token"));
        let cookie = forged("nightferry session\nthe-reader's-token\nthe-operator's-token");
        assert_eq!(role_of_cookie(&with_both, &cookie, now()), Some(Role::Operator));
    }

    #[test]
    fn a_changed_token_ends_every_session() {
        let before = access("the-reader's-token", Some("the-operator's-token"));
        let cookie = written(&before, Role::Operator, now());
        for after in [
            access("another-token-of-readers", Some("the-operator's-token")),
            access("the-reader's-token", Some("another-operator's-token")),
            access("the-reader's-token", None),
        ] {
            assert_eq!(role_of_cookie(&after, &cookie, now()), None);
        }
    }
}
