//! Sentry: what failed and every panic, with run, stage and kind of error, where `SENTRY_DSN` is set.
//!
//! A layer of the log takes nightferry's own error lines, which were written without a secret; nothing else of the process is sent: no
//! environment, no arguments, no other log lines. None of the library's integrations is linked.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::time::{Duration, Instant, SystemTime};

use sentry::protocol::{Event as Report, Exception, Level as Severity, Value};
use sentry::transports::ReqwestHttpTransportOptions;
use sentry::{Client, ClientOptions, Hub, Transport, TransportFactory, TransportOptions};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::{LookupSpan, SpanRef};
use tracing_subscriber::{Layer, Registry};

use super::http;
use crate::config;
use crate::config::without_credentials;
use crate::error::{Error, ErrorKind, Result};

/// One report may take so long.
const SEND_LIMIT: Duration = Duration::from_secs(10);
/// The process waits so long at its end for what was not sent yet.
const LAST_LIMIT: Duration = Duration::from_secs(2);
/// The same failure of the same run is not reported again for so long: a queue that is away is asked every few seconds.
const SAME_AGAIN: Duration = Duration::from_secs(600);

const OWN_RELEASE: &str = concat!("nightferry@", env!("CARGO_PKG_VERSION"));

static CLIENT: OnceLock<Arc<Client>> = OnceLock::new();

/// Begins to report, and gives what is to be added to the log. A second call changes nothing.
///
/// # Errors
/// The DSN is not understood, or the system has no root certificates.
pub fn start(settings: &config::Sentry) -> Result<impl Layer<Registry> + Send + Sync + use<>> {
    let dsn = settings.dsn.expose().parse().map_err(|error: sentry::types::ParseDsnError| {
        Error::new(ErrorKind::Configuration, "SENTRY_DSN is not understood")
            .hint("write https://key@host/project, as the project's settings show it")
            .because(error)
    })?;
    let mut options = ClientOptions::new()
        .debug(settings.is_debug)
        .release(settings.release.clone().unwrap_or_else(|| OWN_RELEASE.to_owned()))
        .environment(settings.environment.clone())
        .sample_rate(settings.sample_rate)
        .server_name(gethostname::gethostname().to_string_lossy().into_owned())
        .default_integrations(false)
        .transport(Sender(http::plain_client(SEND_LIMIT)?));
    options.dsn = Some(dsn);
    let client = CLIENT.get_or_init(|| Arc::new(Client::with_options(options)));
    // Only for the library's own SENTRY_DEBUG lines.
    Hub::main().bind_client(Some(client.clone()));
    Ok(Reporter { client: client.clone(), reported: Mutex::default() })
}

/// Waits, not for long, until all is sent.
pub fn finish() {
    let Some(client) = CLIENT.get() else { return };
    let (done, all_sent) = mpsc::channel();
    // Apart: while the library's own buffer is full it waits for longer than it was given.
    let flushing = std::thread::Builder::new().spawn(move || done.send(client.flush(Some(LAST_LIMIT))));
    if flushing.is_ok() {
        let _ = all_sent.recv_timeout(LAST_LIMIT);
    }
}

/// Reports a panic, with the run and stage that it happened in. For the panic hook.
pub fn report_panic(place: &str, what: &str) {
    let Some(client) = CLIENT.get() else { return };
    let mut fields = tracing::Span::current()
        .with_subscriber(|(id, dispatch)| {
            let registry = dispatch.downcast_ref::<Registry>()?;
            Some(fields_around(registry.span(id)?))
        })
        .flatten()
        .unwrap_or_default();
    fields.insert("place".to_owned(), place.to_owned());
    let failure = Failure { title: "panic", kind: "panic", sentence: what, severity: Severity::Fatal };
    client.capture_event(report(&failure, fields), None);
}

/// The product's own HTTP client does the sending: one TLS for all. The library's would end the process where it cannot be made.
struct Sender(http::PlainClient);

impl TransportFactory for Sender {
    fn create_transport_with_options(&self, options: TransportOptions) -> Arc<dyn Transport> {
        Arc::new(ReqwestHttpTransportOptions::from(options).with_client(self.0.clone()).build())
    }
}

/// What is reported.
struct Failure<'a> {
    title: &'a str,
    kind: &'a str,
    sentence: &'a str,
    severity: Severity,
}

/// These are tags, which reports are searched by; other fields are written beside.
const TAGS: [&str; 5] = ["run", "stage", "error.kind", "job", "attempt"];

fn report(failure: &Failure<'_>, fields: BTreeMap<String, String>) -> Report<'static> {
    let stage = fields.get("stage").cloned().unwrap_or_default();
    let sentence = without_credentials(failure.sentence);
    let (mut tags, mut extra) = (BTreeMap::new(), BTreeMap::new());
    tags.insert("error.kind".to_owned(), failure.kind.to_owned());
    for (name, value) in fields {
        if TAGS.contains(&name.as_str()) {
            tags.insert(name, value);
        } else if name != "message" && name != "error.message" {
            extra.insert(name, Value::String(without_credentials(&value)));
        }
    }
    Report {
        level: failure.severity,
        logger: Some(failure.title.to_owned()),
        transaction: (!stage.is_empty()).then(|| stage.clone()),
        // One issue for each kind of failure of each stage, whatever numbers and names its sentence has.
        fingerprint: vec![failure.title.to_owned().into(), stage.into(), failure.kind.to_owned().into()]
            .into(),
        exception: vec![Exception {
            ty: failure.kind.to_owned(),
            value: Some(sentence),
            ..Exception::default()
        }]
        .into(),
        tags,
        extra,
        timestamp: SystemTime::now(),
        ..Report::default()
    }
}

/// The layer.
struct Reporter {
    client: Arc<Client>,
    reported: Mutex<HashMap<[String; 4], Instant>>,
}

impl Reporter {
    /// Whether the same was not reported a moment ago.
    fn is_news(&self, what: [String; 4], now: Instant) -> bool {
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        reported.retain(|_, at| now.duration_since(*at) < SAME_AGAIN);
        let is_news = !reported.contains_key(&what);
        reported.entry(what).or_insert(now);
        is_news
    }
}

impl<S> Layer<S> for Reporter
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        if *metadata.level() != Level::ERROR || !metadata.target().starts_with("nightferry") {
            return;
        }
        let mut own = Fields::default();
        event.record(&mut own);
        let mut fields = context.lookup_current().map(fields_around).unwrap_or_default();
        fields.extend(own.0);
        let get = |name: &str| fields.get(name).cloned().unwrap_or_default();
        let (title, kind) = (get("message"), get("error.kind"));
        if self.is_news([title.clone(), kind.clone(), get("run"), get("stage")], Instant::now()) {
            let sentence = get("error.message");
            let sentence = if sentence.is_empty() { &title } else { &sentence };
            let failure = Failure { title: &title, kind: &kind, sentence, severity: severity(&kind) };
            self.client.capture_event(report(&failure, fields), None);
        }
    }
}

/// A deploy or an operator that stopped a stage is no defect.
fn severity(kind: &str) -> Severity {
    let was_stopped = [ErrorKind::Interrupted, ErrorKind::Cancelled].map(ErrorKind::name).contains(&kind);
    if was_stopped { Severity::Warning } else { Severity::Error }
}

/// The fields of a span and of those around it; the nearest one counts.
fn fields_around<'a, S: LookupSpan<'a>>(span: SpanRef<'a, S>) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    for span in span.scope().from_root() {
        if let Some(own) = span.extensions().get::<Fields>() {
            fields.extend(own.0.clone());
        }
    }
    fields
}

/// The fields of a span, kept with it.
#[derive(Default)]
struct Fields(BTreeMap<String, String>);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_report_is_grouped_by_stage_and_kind_and_found_by_run() {
        let failure = Failure {
            title: "stage.failed",
            kind: "connection",
            sentence: "cannot reach postgres://me:hush@h/db",
            severity: Severity::Error,
        };
        let around = fields(&[("run", "R"), ("stage", "notification"), ("hint", "is it up?")]);
        let report = report(&failure, around);
        assert_eq!(report.fingerprint.as_ref(), ["stage.failed", "notification", "connection"]);
        assert_eq!((report.tags["run"].as_str(), report.tags["error.kind"].as_str()), ("R", "connection"));
        assert_eq!(report.extra["hint"], "is it up?");
        let exception = &report.exception.values[0];
        assert_eq!(exception.ty, "connection");
        assert_eq!(exception.value.as_deref(), Some("cannot reach postgres://***@h/db"));
    }

    #[test]
    fn what_was_stopped_is_a_warning() {
        assert_eq!((severity("cancelled"), severity("interrupted")), (Severity::Warning, Severity::Warning));
        assert_eq!(severity("schema"), Severity::Error);
    }

    #[test]
    fn the_same_failure_of_a_run_is_reported_once_for_a_while() {
        let client = Arc::new(Client::with_options(ClientOptions::new()));
        let reporter = Reporter { client, reported: Mutex::default() };
        let what = |run: &str| ["the queue does not answer", "connection", run, ""].map(str::to_owned);
        let start = Instant::now();
        assert!(reporter.is_news(what("a"), start) && reporter.is_news(what("b"), start));
        assert!(!reporter.is_news(what("a"), start + SAME_AGAIN / 2));
        assert!(reporter.is_news(what("a"), start + SAME_AGAIN));
    }
}
