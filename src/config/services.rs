//! The learning-content API (`LCMS_API_URL`, `LCMS_API_KEY`, `LCMS_TIMEOUT`, `APP`) and the logs (`LOG_LEVEL`, `LOG_FORMAT`),
//! with what is reported beside them ([`Sentry`]).

use std::time::Duration;

use url::Url;

use super::{Reader, Secret, Sentry, Variables, nearest};
use crate::error::Result;

/// The learning-content API.
#[derive(Debug, Clone)]
pub struct Content {
    /// Its base URL; without one the stage has nothing to do.
    pub url: Option<Url>,
    /// The bearer token.
    pub key: Option<Secret>,
    /// The time limit of the whole request.
    pub timeout: Duration,
    /// What nightferry calls itself in the `client` header.
    pub app: String,
}

impl Content {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let url = reader.parse("LCMS_API_URL", None, |text| {
            Url::parse(text)
                .ok()
                .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
                .map(Some)
                .ok_or_else(|| "not an http(s) URL".to_owned())
        });
        let key = reader.text("LCMS_API_KEY").map(Secret::new);
        if url.is_some() && key.is_none() {
            reader.problem("LCMS_API_KEY", "not set, but LCMS_API_URL is: the API wants a bearer token");
        }
        Self {
            url,
            key,
            timeout: reader.duration("LCMS_TIMEOUT", Duration::from_secs(180)),
            app: reader.text("APP").unwrap_or("nightferry").to_owned(),
        }
    }
}

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One bunyan JSON object a line.
    Json,
    /// For people.
    Pretty,
}

/// The settings of the logs.
#[derive(Debug, Clone)]
pub struct Log {
    /// A level, or directives such as `info,sqlx=warn`.
    pub level: String,
    /// The form; decided by the terminal where unset.
    pub format: Option<LogFormat>,
    /// Where errors are reported beside the log.
    pub sentry: Option<Sentry>,
}

impl Log {
    /// Reads the settings of the logs, which every command needs first.
    ///
    /// # Errors
    /// An unknown level or format, or a wrong setting of Sentry.
    pub fn load(variables: &Variables) -> Result<Self> {
        let mut reader = Reader::new(variables);
        let level = reader.parse("LOG_LEVEL", "info".to_owned(), |text| {
            let text = text.to_lowercase();
            text.split(',').try_for_each(|directive| check_directive(directive.trim()))?;
            Ok(text)
        });
        let format = reader.choice(
            "LOG_FORMAT",
            None,
            &[("json", Some(LogFormat::Json)), ("pretty", Some(LogFormat::Pretty))],
        );
        let sentry = Sentry::read(&mut reader);
        reader.finish()?;
        Ok(Self { level, format, sentry })
    }
}

/// A directive is a level, or `target=level`. The logging library takes any word for a target, so that a level with a
/// slip of the pen would silence everything.
fn check_directive(directive: &str) -> Result<(), String> {
    const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
    let (target, level) =
        directive.split_once('=').map_or((None, directive), |(target, level)| (Some(target), level));
    if !LEVELS.contains(&level) {
        return Err(match nearest(level, LEVELS) {
            Some(near) => format!("{level:?} is not a level: did you mean {near:?}?"),
            None => format!(
                "{level:?} is not a level: write {}, or directives such as info,sqlx=debug",
                LEVELS.join(", ")
            ),
        });
    }
    let is_target = |target: &str| {
        !target.is_empty()
            && target.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | ':' | '-' | '.'))
    };
    match target {
        Some(target) if !is_target(target) => {
            Err(format!("{target:?} is not the name of a library: write directives such as info,sqlx=debug"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(text: &str) -> Result<String, String> {
        let variables = Variables::from_pairs([("LOG_LEVEL", text)]);
        Log::load(&variables).map(|log| log.level).map_err(|error| error.to_string())
    }

    #[test]
    fn a_level_is_a_word_or_directives() {
        for right in ["info", "off", "warn,sqlx=debug", "apalis_core::worker=trace, info"] {
            assert!(level(right).is_ok(), "{right}");
        }
        assert_eq!(level("DEBUG").unwrap(), "debug");
    }

    #[test]
    fn a_level_that_is_none_is_refused_with_the_nearest() {
        assert_eq!(level("inof").unwrap_err(), r#"LOG_LEVEL: "inof" is not a level: did you mean "info"?"#);
        assert!(
            level("info,sqlx=wran").unwrap_err().contains(r#""wran" is not a level: did you mean "warn"?"#)
        );
        for wrong in ["loud", "sqlx", "=info", "sqlx=", "info,", "a b=info"] {
            let text = level(wrong).unwrap_err();
            assert!(text.starts_with("LOG_LEVEL: ") && text.contains("write "), "{text}");
        }
    }
}
