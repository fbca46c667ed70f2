//! The learning-content API (`LCMS_API_URL`, `LCMS_API_KEY`, `LCMS_TIMEOUT`, `APP`), the web process (`PORT`) and the
//! logs (`LOG_LEVEL`, `LOG_FORMAT`).

use std::time::Duration;

use url::Url;

use super::{Reader, Secret, Variables};
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

/// The web process.
#[derive(Debug, Clone, Copy)]
pub struct Web {
    /// The port it listens on.
    pub port: u16,
}

impl Web {
    /// Reads the web process's settings: it needs no database.
    ///
    /// # Errors
    /// `PORT` is not a port.
    pub fn load(variables: &Variables) -> Result<Self> {
        let mut reader = Reader::new(variables);
        let port =
            reader.parse("PORT", 8080, |text| text.parse().map_err(|_| format!("{text:?} is not a port")));
        reader.finish()?;
        Ok(Self { port })
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
}

impl Log {
    /// Reads the settings of the logs, which every command needs first.
    ///
    /// # Errors
    /// An unknown level or format.
    pub fn load(variables: &Variables) -> Result<Self> {
        let mut reader = Reader::new(variables);
        let level = reader.parse("LOG_LEVEL", "info".to_owned(), |text| {
            let text = text.to_lowercase();
            tracing_subscriber::EnvFilter::try_new(&text)
                .map(|_| text.clone())
                .map_err(|_| format!("{text:?} is not a level: write error, warn, info, debug or trace"))
        });
        let format = reader.choice(
            "LOG_FORMAT",
            None,
            &[("json", Some(LogFormat::Json)), ("pretty", Some(LogFormat::Pretty))],
        );
        reader.finish()?;
        Ok(Self { level, format })
    }
}
