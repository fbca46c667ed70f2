//! Logs: one bunyan JSON object a line for machines, a readable form for people.
//!
//! tracing-bunyan-formatter collects the fields of spans; the line is written here, because that crate's own formatter
//! puts `[SPAN - EVENT]` before every message, and operators look for `Start restore` as the whole of `msg`. A span
//! adds its fields to the lines below it and writes none of its own. Event names are in [`crate::events`].

use std::collections::BTreeMap;
use std::io::Write;

use chrono::SecondsFormat;
use serde::ser::{SerializeMap, Serializer};
use serde_json::Value;
use tracing::{Event, Level, Subscriber};
use tracing_bunyan_formatter::{JsonStorage, JsonStorageLayer};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use crate::clock;
use crate::config::{Log, LogFormat};

/// Somebody else who sees what is logged.
pub type Beside = Box<dyn Layer<Registry> + Send + Sync>;

/// What the log is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Screen {
    /// No terminal.
    None,
    /// A terminal that knows letters only: `TERM=dumb`.
    Plain,
    /// A terminal with colours and a cursor.
    Full,
}

/// A subscriber that writes to `sink`. Where `LOG_FORMAT` does not say, a terminal gets the readable form.
pub fn subscriber<W>(
    log: &Log,
    screen: Screen,
    sink: W,
    beside: Option<Beside>,
) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filtered = Registry::default().with(beside).with(EnvFilter::new(directives(&log.level)));
    match log.format {
        Some(LogFormat::Pretty) => Box::new(filtered.with(readable(screen, sink))),
        None if screen != Screen::None => Box::new(filtered.with(readable(screen, sink))),
        _ => Box::new(filtered.with(JsonStorageLayer).with(Bunyan::new(sink))),
    }
}

/// Makes a subscriber the process's own; the lines of libraries that use the `log` crate go there too. A second call
/// changes nothing.
pub fn install(subscriber: Box<dyn Subscriber + Send + Sync>) {
    // The first one stays: tests install their own before they call a command.
    let _ = subscriber.try_init();
}

/// A plain level is nightferry's own; libraries then speak from a warning on.
fn directives(level: &str) -> String {
    if level.contains(['=', ',']) { level.to_owned() } else { format!("warn,nightferry={level}") }
}

fn readable<S, W>(screen: Screen, sink: W) -> impl Layer<S> + Send + Sync
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer().with_target(false).with_writer(sink);
    // The library's own default has colours, unless NO_COLOR says otherwise.
    if screen == Screen::Full { layer } else { layer.with_ansi(false) }
}

/// The fields that every bunyan line begins with; a line's own field of such a name is written as `field.<name>`.
const CORE: [&str; 7] = ["v", "name", "msg", "level", "hostname", "pid", "time"];

struct Bunyan<W> {
    sink: W,
    hostname: String,
    pid: u32,
}

impl<W> Bunyan<W> {
    fn new(sink: W) -> Self {
        let hostname = gethostname::gethostname().to_string_lossy().into_owned();
        Self { sink, hostname, pid: std::process::id() }
    }

    fn line(&self, level: Level, fields: &BTreeMap<&str, Value>) -> serde_json::Result<Vec<u8>> {
        let mut line = Vec::with_capacity(512);
        let mut serializer = serde_json::Serializer::new(&mut line);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("v", &0)?;
        map.serialize_entry("name", "nightferry")?;
        map.serialize_entry("msg", fields.get("message").and_then(Value::as_str).unwrap_or(""))?;
        map.serialize_entry("level", &number(level))?;
        map.serialize_entry("hostname", &self.hostname)?;
        map.serialize_entry("pid", &self.pid)?;
        map.serialize_entry("time", &clock::now().to_rfc3339_opts(SecondsFormat::Millis, true))?;
        for (name, value) in fields.iter().filter(|(name, _)| **name != "message") {
            if CORE.contains(name) {
                map.serialize_entry(&format!("field.{name}"), value)?;
            } else {
                map.serialize_entry(name, value)?;
            }
        }
        map.end()?;
        line.push(b'\n');
        Ok(line)
    }
}

impl<S, W> Layer<S> for Bunyan<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + 'static,
{
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut own = JsonStorage::default();
        event.record(&mut own);
        let mut fields = BTreeMap::new();
        let span = context.lookup_current();
        let extensions = span.as_ref().map(|span| span.extensions());
        if let Some(around) = extensions.as_ref().and_then(|extensions| extensions.get::<JsonStorage<'_>>()) {
            fields.extend(around.values().iter().map(|(name, value)| (*name, value.clone())));
        }
        fields.extend(own.values().iter().map(|(name, value)| (*name, value.clone())));
        if let Ok(line) = self.line(*event.metadata().level(), &fields) {
            // One write a line, so that lines of several threads never mix. A log that cannot be written stops nobody.
            let _ = self.sink.make_writer_for(event.metadata()).write_all(&line);
        }
    }
}

/// Bunyan's numbers for levels.
fn number(level: Level) -> u8 {
    match level {
        Level::ERROR => 50,
        Level::WARN => 40,
        Level::INFO => 30,
        Level::DEBUG => 20,
        Level::TRACE => 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn written(log: &Log, screen: Screen, work: impl FnOnce()) -> String {
        let sink = Sink::default();
        let writer = sink.clone();
        tracing::subscriber::with_default(subscriber(log, screen, move || writer.clone(), None), work);
        String::from_utf8(sink.0.lock().unwrap().clone()).unwrap()
    }

    fn log(level: &str, format: Option<LogFormat>) -> Log {
        Log { level: level.to_owned(), format, sentry: None }
    }

    #[test]
    fn a_line_is_one_bunyan_object_whose_message_is_the_event_alone() {
        let text = written(&log("info", None), Screen::None, || {
            let span = tracing::info_span!("stage", run_id = "20261120T041000Z", stage = "notification");
            let _inside = span.enter();
            tracing::warn!(table = "public.users", rows = 7_u64, error.kind = "timeout", "Start restore");
        });
        let line: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert_eq!((&line["msg"], &line["level"]), (&Value::from("Start restore"), &Value::from(40)));
        assert_eq!((&line["v"], &line["name"]), (&Value::from(0), &Value::from("nightferry")));
        assert_eq!(line["run_id"], "20261120T041000Z");
        assert_eq!((&line["rows"], &line["error.kind"]), (&Value::from(7_u64), &Value::from("timeout")));
        assert!(chrono::DateTime::parse_from_rfc3339(line["time"].as_str().unwrap()).is_ok());
    }

    #[test]
    fn a_field_is_written_once_and_the_nearest_one_counts() {
        let text = written(&log("info", None), Screen::None, || {
            let span = tracing::info_span!("stage", step = "outer", name = "a span's");
            let _inside = span.enter();
            tracing::info!(step = "inner", "step.started");
        });
        assert_eq!(text.matches("\"step\"").count(), 1);
        assert!(text.contains(r#""step":"inner""#) && text.contains(r#""field.name":"a span's""#), "{text}");
    }

    #[test]
    fn libraries_speak_from_a_warning_on_unless_asked() {
        let speak = || {
            tracing::info!(target: "sqlx::query", "select 1");
            tracing::warn!(target: "actix_server", "slow");
            tracing::debug!("ours");
        };
        let quiet = written(&log("debug", None), Screen::None, speak);
        assert!(!quiet.contains("select 1") && quiet.contains("slow") && quiet.contains("ours"), "{quiet}");
        let asked = written(&log("info,sqlx=info", None), Screen::None, speak);
        assert!(asked.contains("select 1") && !asked.contains("ours"), "{asked}");
    }

    #[test]
    fn a_terminal_gets_the_readable_form_unless_json_is_asked_for() {
        let speak = || tracing::info!(rows = 3, "table.copied");
        assert!(written(&log("info", None), Screen::Full, speak).contains("table.copied"));
        assert!(!written(&log("info", None), Screen::Full, speak).starts_with('{'));
        assert!(written(&log("info", Some(LogFormat::Json)), Screen::Full, speak).starts_with('{'));
        for pretty in [
            written(&log("info", Some(LogFormat::Pretty)), Screen::None, speak),
            written(&log("info", None), Screen::Plain, speak),
        ] {
            assert!(pretty.contains("INFO table.copied rows=3") && !pretty.contains('\u{1b}'), "{pretty}");
        }
    }
}
