//! How many wrong tokens may be tried (pure). They count for each [`Network`] by itself: a stranger who guesses locks himself out, and not
//! those who have the token. The same one again is no guess: a machine that was forgotten when the token changed locks nobody out.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

use chrono::{DateTime, TimeDelta, Utc};

/// So many wrong ones of one network in [`WINDOW`]; then none of it is looked at until it has passed. Who is signed in is not asked for one.
const MOST: usize = 10;
/// So many wrong ones of all networks together: whoever has that many addresses is kept from guessing, too.
const MOST_OF_ALL: usize = 1_000;
const WINDOW: TimeDelta = TimeDelta::minutes(1);

/// Where tokens come from: an address, or the network that one subscriber has (RFC 6177: at least a /64 of IPv6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Network(IpAddr);

impl Network {
    /// The sender as the proxy before us has seen it, or else whoever is connected. What stands further to the left in the header may be
    /// made up by the sender.
    pub(super) fn of(forwarded_for: Option<&str>, peer: Option<IpAddr>) -> Option<Self> {
        let seen =
            forwarded_for.and_then(|all| all.rsplit(',').next()).and_then(|last| last.trim().parse().ok());
        seen.or(peer).map(|address: IpAddr| match address.to_canonical() {
            IpAddr::V6(address) => Self(IpAddr::V6((address.to_bits() & !u128::from(u64::MAX)).into())),
            address @ IpAddr::V4(_) => Self(address),
        })
    }
}

#[derive(Debug)]
struct Wrong {
    tried: DateTime<Utc>,
    from: Option<Network>,
    /// A number that says nothing of the token.
    token: u64,
}

/// The last wrong tokens.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    wrong: VecDeque<Wrong>,
    hasher: RandomState,
}

impl Attempts {
    /// How many seconds must pass before another token from there is looked at; none where one may be tried now.
    pub(super) fn pause(&mut self, from: Option<Network>, now: DateTime<Utc>) -> Option<i64> {
        self.wrong.retain(|wrong| now - wrong.tried < WINDOW);
        let oldest = if self.wrong.len() >= MOST_OF_ALL {
            self.wrong.front()
        } else {
            self.of(from).nth_back(MOST - 1)
        };
        oldest.map(|wrong| (WINDOW - (now - wrong.tried)).num_seconds().max(0) + 1)
    }

    /// A token was wrong. Says whether it was one too many.
    pub(super) fn failed(&mut self, from: Option<Network>, token: &str, now: DateTime<Utc>) -> bool {
        let token = self.hasher.hash_one(token);
        if self.of(from).any(|wrong| wrong.token == token) {
            return false;
        }
        self.wrong.push_back(Wrong { tried: now, from, token });
        self.of(from).count() == MOST || self.wrong.len() == MOST_OF_ALL
    }

    fn of(&self, from: Option<Network>) -> impl DoubleEndedIterator<Item = &Wrong> {
        self.wrong.iter().filter(move |wrong| wrong.from == from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_147_800 + seconds, 0).unwrap()
    }

    fn network(address: &str) -> Option<Network> {
        Network::of(None, Some(address.parse().unwrap()))
    }

    #[test]
    fn after_ten_wrong_ones_a_minute_must_pass() {
        let here = network("192.0.2.1");
        let mut attempts = Attempts::default();
        for second in 0..10 {
            assert_eq!(attempts.pause(here, at(second)), None);
            assert_eq!(attempts.failed(here, &format!("guess {second}"), at(second)), second == 9);
        }
        assert_eq!(attempts.pause(here, at(10)), Some(51));
        assert_eq!(attempts.pause(here, at(59)), Some(2));
        assert_eq!(attempts.pause(here, at(60)), None, "the first one is forgotten");
    }

    #[test]
    fn who_guesses_elsewhere_keeps_nobody_out_here() {
        let mut attempts = Attempts::default();
        for guess in 0..10 {
            attempts.failed(network("192.0.2.1"), &format!("guess {guess}"), at(0));
        }
        assert!(attempts.pause(network("192.0.2.1"), at(0)).is_some());
        assert_eq!(attempts.pause(network("192.0.2.2"), at(0)), None);
        assert_eq!(attempts.pause(None, at(0)), None);
    }

    #[test]
    fn who_has_a_thousand_addresses_does_not_guess_on() {
        let mut attempts = Attempts::default();
        let too_many = |n: u32| network(&std::net::Ipv4Addr::from(n).to_string());
        for n in 0..1_000 {
            assert_eq!(attempts.pause(too_many(n), at(0)), None);
            assert_eq!(attempts.failed(too_many(n), &n.to_string(), at(0)), n == 999);
        }
        assert_eq!(attempts.pause(too_many(5_000), at(30)), Some(31));
        assert_eq!(attempts.pause(too_many(5_000), at(60)), None);
    }

    #[test]
    fn a_machine_with_an_old_token_is_one_wrong_token_however_often_it_asks() {
        let here = network("192.0.2.1");
        let mut attempts = Attempts::default();
        assert!((0..100).all(|_| !attempts.failed(here, "the token of last year", at(0))));
        assert_eq!(attempts.pause(here, at(0)), None);
    }

    #[test]
    fn a_network_is_what_the_proxy_saw_and_a_whole_network_of_ipv6() {
        let peer = Some("10.0.0.1".parse().unwrap());
        let of = |header| Network::of(Some(header), peer);
        assert_eq!(of("203.0.113.9, 192.0.2.7"), network("192.0.2.7"));
        assert_eq!(of("2001:db8:1:2:ffff::1"), network("2001:db8:1:2::5"));
        assert_ne!(of("2001:db8:1:3::1"), network("2001:db8:1:2::1"));
        assert_eq!(of("::ffff:192.0.2.7"), network("192.0.2.7"));
        for no_address in ["", "unknown", "192.0.2.7, "] {
            assert_eq!(of(no_address), network("10.0.0.1"), "{no_address:?}");
        }
        assert_eq!(Network::of(None, None), None);
    }
}
