//! Mail: `SMTP_HOST`, `SMTP_PORT`, `SMTP_TLS`, `SMTP_USERNAME`, `SMTP_PASSWORD`, `MAIL_FROM`, `MAIL_TO`, `MAIL_EVENTS`.

use std::time::Duration;

use super::notifications::{events, is_told_unasked};
use super::{Reader, Secret};
use crate::notice::Event;

/// How the mail server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpTls {
    /// In clear until the server has agreed to TLS, and not a word of a mail before (RFC 3207).
    StartTls,
    /// TLS from the first byte (RFC 8314).
    Tls,
    /// In clear.
    None,
}

impl SmtpTls {
    /// The port that is meant where none is written.
    fn port(self) -> u16 {
        match self {
            Self::StartTls => 587,
            Self::Tls => 465,
            Self::None => 25,
        }
    }
}

/// Who gets mail, of what, and through which server.
#[derive(Debug, Clone)]
pub struct Mail {
    /// The server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How it is spoken to.
    pub tls: SmtpTls,
    /// Who sends, where the server wants to know.
    pub login: Option<(String, Secret)>,
    /// The sender's address.
    pub from: String,
    /// The receivers' addresses.
    pub to: Vec<String>,
    /// What they are told of.
    pub events: Vec<Event>,
    /// The time limit of one mail.
    pub timeout: Duration,
}

impl Mail {
    /// Whether mail is sent of this event of this job: `night`, or the name of one beside it.
    #[must_use]
    pub fn wants(&self, event: Event, job: &str) -> bool {
        is_told_unasked(event, job) && self.events.contains(&event)
    }
}

/// A mail is read by people: what went well is no news.
const EVENTS: [Event; 3] = [Event::Failed, Event::Interrupted, Event::Late];

impl Mail {
    /// None where nobody gets mail.
    pub(super) fn read(reader: &mut Reader<'_>, timeout: Duration) -> Option<Self> {
        let tls = reader.choice(
            "SMTP_TLS",
            SmtpTls::StartTls,
            &[("starttls", SmtpTls::StartTls), ("tls", SmtpTls::Tls), ("none", SmtpTls::None)],
        );
        let port = reader.parse("SMTP_PORT", tls.port(), |text| {
            text.parse()
                .ok()
                .filter(|port| *port != 0)
                .ok_or_else(|| format!("{text:?} is not a port: a number from 1 to 65535"))
        });
        let host = reader.parse("SMTP_HOST", None, |text| host(text).map(Some));
        let login = login(reader);
        let from = reader.parse("MAIL_FROM", None, |text| address(text).map(Some));
        let to = reader.parse("MAIL_TO", Vec::new(), |text| words(text, ',').map(address).collect());
        let events = reader.parse("MAIL_EVENTS", EVENTS.to_vec(), |text| events(words(text, ',')));
        let (is_host, is_to) = (reader.text("SMTP_HOST").is_some(), reader.text("MAIL_TO").is_some());
        if is_host && !is_to {
            reader.problem("MAIL_TO", "not set, but SMTP_HOST is: it says who gets mail");
        }
        if is_to && !is_host {
            reader.problem("SMTP_HOST", "not set, but MAIL_TO is: it names the server that takes mail");
        }
        if is_to && reader.text("MAIL_FROM").is_none() {
            reader.problem("MAIL_FROM", "not set, but MAIL_TO is: servers refuse mail without a sender");
        }
        Some(Self { host: host?, port, tls, login, from: from?, to, events, timeout })
    }
}

fn login(reader: &mut Reader<'_>) -> Option<(String, Secret)> {
    match (reader.text("SMTP_USERNAME"), reader.text("SMTP_PASSWORD")) {
        (Some(name), Some(password)) => Some((name.to_owned(), Secret::new(password))),
        (None, None) => None,
        (Some(_), None) => {
            reader.problem("SMTP_PASSWORD", "not set, but SMTP_USERNAME is");
            None
        }
        (None, Some(_)) => {
            reader.problem("SMTP_USERNAME", "not set, but SMTP_PASSWORD is");
            None
        }
    }
}

fn host(text: &str) -> Result<String, String> {
    let is_host = text.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_'));
    // Its text is not quoted: a whole URL may have the password in it.
    if is_host {
        Ok(text.to_owned())
    } else {
        Err("not a host: write smtp.example.net, and the port in SMTP_PORT".to_owned())
    }
}

/// `a@b`, or `Name <a@b>`. The mail library looks closer; this finds what was left out.
fn address(text: &str) -> Result<String, String> {
    let bare = text.split_once('<').map_or(Some(text), |(_, rest)| rest.strip_suffix('>'));
    let is_address = bare.and_then(|bare| bare.split_once('@')).is_some_and(|(name, host)| {
        let is_part = |part: &str| {
            !part.is_empty()
                && !part.contains(|c: char| c.is_whitespace() || c.is_control() || "@<>,;".contains(c))
        };
        is_part(name) && is_part(host)
    });
    if is_address && !text.contains(char::is_control) {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is not an address: write someone@example.net"))
    }
}

/// The words of a list.
fn words(text: &str, between: char) -> impl Iterator<Item = &str> {
    text.split(between).map(str::trim).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Variables;

    fn read(pairs: &[(&str, &str)]) -> Result<Option<Mail>, String> {
        let variables = Variables::from_pairs(pairs.iter().copied());
        let mut reader = Reader::new(&variables);
        let read = Mail::read(&mut reader, Duration::from_secs(30));
        reader.finish().map(|()| read).map_err(|error| error.to_string())
    }

    const ENOUGH: [(&str, &str); 3] =
        [("SMTP_HOST", "smtp.example.net"), ("MAIL_FROM", "night@example.net"), ("MAIL_TO", "a@b.example")];

    fn with(more: &[(&'static str, &'static str)]) -> Result<Mail, String> {
        read(&[&ENOUGH, more].concat()).map(Option::unwrap)
    }

    #[test]
    fn nobody_gets_mail_unless_asked_for() {
        assert!(read(&[]).unwrap().is_none());
    }

    #[test]
    fn by_default_mail_goes_by_starttls_and_tells_of_trouble_only() {
        let mail = with(&[]).unwrap();
        assert_eq!((mail.port, mail.tls), (587, SmtpTls::StartTls));
        assert_eq!(mail.events, [Event::Failed, Event::Interrupted, Event::Late]);
        assert_eq!(with(&[("SMTP_TLS", "tls")]).unwrap().port, 465);
        let own = with(&[("SMTP_TLS", "none"), ("SMTP_PORT", "2525"), ("MAIL_EVENTS", "succeeded, late")]);
        let own = own.unwrap();
        assert_eq!((own.port, own.events), (2525, vec![Event::Succeeded, Event::Late]));
    }

    #[test]
    fn several_receivers_have_commas_between_them() {
        let mail = with(&[("MAIL_TO", "a@b.example, Data Team <data@b.example>")]).unwrap();
        assert_eq!(mail.to, ["a@b.example", "Data Team <data@b.example>"]);
        for wrong in ["nobody", "a@", "@b", "a@b c", "a@b@c", "X <a@b", "a@b;c@d"] {
            let text = read(&[ENOUGH[0], ENOUGH[1], ("MAIL_TO", wrong)]).unwrap_err();
            assert!(text.starts_with("MAIL_TO: ") && text.contains("write someone@example.net"), "{text}");
        }
    }

    #[test]
    fn what_is_missing_beside_the_rest_is_said() {
        let text = read(&[("MAIL_TO", "a@b.example")]).unwrap_err();
        assert!(text.contains("SMTP_HOST: not set") && text.contains("MAIL_FROM: not set"), "{text}");
        assert!(read(&[("SMTP_HOST", "h")]).unwrap_err().contains("MAIL_TO: not set"));
        assert!(with(&[("SMTP_USERNAME", "me")]).unwrap_err().contains("SMTP_PASSWORD: not set"));
        assert!(with(&[("SMTP_PASSWORD", "hush")]).unwrap_err().contains("SMTP_USERNAME: not set"));
    }

    #[test]
    fn what_is_wrong_is_said_without_a_secret() {
        let text = with(&[("SMTP_PORT", "70000"), ("MAIL_EVENTS", "fail"), ("SMTP_TLS", "ssl")]).unwrap_err();
        assert!(text.contains("SMTP_PORT: \"70000\" is not a port"), "{text}");
        assert!(text.contains(r#"MAIL_EVENTS: "fail" is not an event: did you mean "failed"?"#), "{text}");
        assert!(text.contains("SMTP_TLS: \"ssl\" is not one of"), "{text}");
        let text = read(&[("SMTP_HOST", "smtp://me:hush@h"), ENOUGH[1], ENOUGH[2]]).unwrap_err();
        assert!(text.contains("SMTP_HOST: not a host") && !text.contains("hush"), "{text}");
    }
}
