//! Sentry: `SENTRY_DSN`, `SENTRY_ENVIRONMENT`, `SENTRY_RELEASE`, `SENTRY_SAMPLE_RATE`, `SENTRY_DEBUG`.

use url::Url;

use super::{Reader, Secret};

/// Where defects and failures are reported, and under which names.
#[derive(Debug, Clone)]
pub struct Sentry {
    /// The project's address, with its key.
    pub dsn: Secret,
    /// Which of several installations this is.
    pub environment: String,
    /// Which version this is; nightferry's own where it is not said.
    pub release: Option<String>,
    /// The part of the reports that is sent, up to 1.
    pub sample_rate: f32,
    /// Whether the library says on standard error what it does.
    pub is_debug: bool,
}

impl Sentry {
    /// None where nothing is reported.
    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let dsn = reader.parse("SENTRY_DSN", None, |text| dsn(text).map(Some));
        let environment = reader.text("SENTRY_ENVIRONMENT").unwrap_or("production").to_owned();
        let release = reader.text("SENTRY_RELEASE").map(str::to_owned);
        let sample_rate = reader.parse("SENTRY_SAMPLE_RATE", 1.0, |text| {
            text.parse()
                .ok()
                .filter(|rate| (0.0..=1.0).contains(rate))
                .ok_or_else(|| format!("{text:?} is not a number from 0 to 1"))
        });
        let is_debug = reader.choice("SENTRY_DEBUG", false, &[("true", true), ("false", false)]);
        Some(Self { dsn: dsn?, environment, release, sample_rate, is_debug })
    }
}

/// `https://key@host/project`: <https://develop.sentry.dev/sdk/foundations/transport/authentication/>.
fn dsn(text: &str) -> Result<Secret, String> {
    let is_dsn = Url::parse(text).is_ok_and(|url| {
        let project = url.path().rsplit('/').next().unwrap_or_default();
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && !url.username().is_empty()
            && !project.is_empty()
    });
    // Not quoted: the key is a secret.
    if is_dsn {
        Ok(Secret::new(text))
    } else {
        Err("not a DSN: write https://key@host/project, as the project's settings show it".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Variables;

    fn read(pairs: &[(&str, &str)]) -> Result<Option<Sentry>, String> {
        let variables = Variables::from_pairs(pairs.iter().copied());
        let mut reader = Reader::new(&variables);
        let read = Sentry::read(&mut reader);
        reader.finish().map(|()| read).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_is_reported_without_a_dsn() {
        assert!(read(&[("SENTRY_ENVIRONMENT", "staging")]).unwrap().is_none());
    }

    #[test]
    fn the_installation_and_the_version_are_named() {
        let sentry = read(&[("SENTRY_DSN", "https://key@sentry.example/42")]).unwrap().unwrap();
        assert_eq!((sentry.environment.as_str(), sentry.sample_rate), ("production", 1.0));
        assert!(sentry.release.is_none() && !sentry.is_debug);
        assert!(!format!("{sentry:?}").contains("key@"));
    }

    #[test]
    fn what_is_no_dsn_is_refused_without_being_quoted() {
        for wrong in ["key", "https://sentry.example/42", "https://hush@sentry.example/", "ftp://hush@h/1"] {
            let text = read(&[("SENTRY_DSN", wrong)]).unwrap_err();
            assert!(text.starts_with("SENTRY_DSN: not a DSN") && !text.contains("hush"), "{text}");
        }
        let text = read(&[("SENTRY_SAMPLE_RATE", "1.5"), ("SENTRY_DEBUG", "1")]).unwrap_err();
        assert!(text.contains("is not a number from 0 to 1") && text.contains("SENTRY_DEBUG: "), "{text}");
    }
}
