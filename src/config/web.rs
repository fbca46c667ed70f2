//! The web process: `PORT`, `WEB_TOKEN`, `WEB_OPERATOR_TOKEN`.

use super::{Reader, Secret, Variables};
use crate::error::Result;

/// A shorter token can be guessed.
const SHORTEST: usize = 16;

/// The web process.
#[derive(Debug, Clone)]
pub struct Web {
    /// The port it listens on.
    pub port: u16,
    /// Who may see more than whether it is healthy; without it nobody may.
    pub access: Option<Access>,
}

/// What opens the dashboard and the metrics.
#[derive(Debug, Clone)]
pub struct Access {
    /// Whoever has it may read.
    pub token: Secret,
    /// Whoever has it may read, and retry jobs and pause queues; without it nobody may.
    pub operator_token: Option<Secret>,
}

impl Web {
    /// Reads the web process's settings: without a token it needs no database.
    ///
    /// # Errors
    /// `PORT` is not a port, or a token is too short, or opens the same as another.
    pub fn load(variables: &Variables) -> Result<Self> {
        let mut reader = Reader::new(variables);
        let port =
            reader.parse("PORT", 8080, |text| text.parse().map_err(|_| format!("{text:?} is not a port")));
        let access = Access::read(&mut reader);
        reader.finish()?;
        Ok(Self { port, access })
    }
}

impl Access {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let token = reader.parse("WEB_TOKEN", None, |text| checked(text).map(Some));
        let operator_token = reader.parse("WEB_OPERATOR_TOKEN", None, |text| checked(text).map(Some));
        if operator_token.is_some() && reader.text("WEB_TOKEN").is_none() {
            reader
                .problem("WEB_TOKEN", "not set, but WEB_OPERATOR_TOKEN is: who may act must be able to see");
        }
        if operator_token.is_some() && operator_token == token {
            reader.problem("WEB_OPERATOR_TOKEN", "is the same as WEB_TOKEN: then whoever may read may act");
        }
        Some(Self { token: token?, operator_token })
    }
}

/// It travels in a header. Not quoted in what is wrong: it is a secret.
fn checked(text: &str) -> Result<Secret, String> {
    if text.chars().count() < SHORTEST {
        return Err(format!("shorter than {SHORTEST} characters: `openssl rand -hex 32` makes one"));
    }
    if !text.chars().all(|c| c.is_ascii_graphic()) {
        return Err("has spaces or characters beyond ASCII: `openssl rand -hex 32` makes one".to_owned());
    }
    Ok(Secret::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Web, String> {
        Web::load(&Variables::from_pairs(pairs.iter().copied())).map_err(|error| error.to_string())
    }

    const READER: (&str, &str) = ("WEB_TOKEN", "hush-hush-hush-1");

    #[test]
    fn without_a_token_nobody_comes_in() {
        let web = read(&[("PORT", "0")]).unwrap();
        assert!(web.access.is_none() && web.port == 0);
    }

    #[test]
    fn the_operators_token_is_another_one() {
        let access = read(&[READER]).unwrap().access.unwrap();
        assert!(access.operator_token.is_none());
        let operator = ("WEB_OPERATOR_TOKEN", "hush-hush-hush-2");
        let access = read(&[READER, operator]).unwrap().access.unwrap();
        assert_ne!(access.operator_token.unwrap(), access.token);
        let same = read(&[READER, ("WEB_OPERATOR_TOKEN", READER.1)]).unwrap_err();
        assert!(same.starts_with("WEB_OPERATOR_TOKEN: is the same") && !same.contains("hush"), "{same}");
        assert!(read(&[operator]).unwrap_err().starts_with("WEB_TOKEN: not set, but"));
    }

    #[test]
    fn a_token_that_can_be_guessed_or_not_be_sent_is_refused_without_being_quoted() {
        for wrong in ["hush-hush-hush-", "hush hush hush hush", "hush-hush-hush-é1"] {
            let text = read(&[("WEB_TOKEN", wrong)]).unwrap_err();
            assert!(text.starts_with("WEB_TOKEN: ") && text.contains("openssl"), "{text}");
            assert!(!text.contains("hush"), "{text}");
        }
    }
}
