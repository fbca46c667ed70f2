//! Who is told what: `NOTIFICATIONS`, a JSON list of endpoints; `NOTIFICATION_URLS`, a JSON list of strings, is its older name.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use url::Url;

use super::reader::nearest;
use super::{Mail, Reader, Secret, host_and_port};
use crate::ids::Stage;
use crate::notice::Event;

/// One webhook endpoint. The URL may itself be a secret: only its host is ever shown.
#[derive(Debug, Clone)]
pub struct Endpoint {
    url: Secret,
    host: String,
    /// The value of the `Authorization` header.
    pub token: Option<Secret>,
    /// What it is told of.
    pub events: Vec<Event>,
    /// Of which jobs, by their names outside; none where it does not say.
    jobs: Option<Vec<&'static str>>,
    signing_secret: Option<Secret>,
    /// The time limit of one request.
    pub timeout: Duration,
    /// How often a request that failed is sent again, before the job that tells is itself tried again.
    pub retries: u32,
}

impl Endpoint {
    /// The URL to post to. Never log it.
    #[must_use]
    pub fn url(&self) -> &str {
        self.url.expose()
    }

    /// The host and port, for logs.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Whether it is told of this event of this job: `night`, or the name of one beside it.
    #[must_use]
    pub fn wants(&self, event: Event, job: &str) -> bool {
        let of_this = match &self.jobs {
            Some(jobs) => jobs.contains(&job),
            None => is_told_unasked(event, job),
        };
        of_this && self.events.contains(&event)
    }

    /// The bytes that sign what is posted, where it is to be signed.
    #[must_use]
    pub fn signing_key(&self) -> Option<Vec<u8>> {
        self.signing_secret.as_ref().and_then(|secret| key_of(secret.expose()))
    }
}

/// Whether who did not say of which jobs is told of this one. What an endpoint starts after a night must not be started by a backup that was
/// pushed; that one failed is as much news as of a night.
pub(super) fn is_told_unasked(event: Event, job: &str) -> bool {
    job == JOBS[0] || !matches!(event, Event::Started | Event::Succeeded)
}

/// Who is told, and of what.
#[derive(Debug, Clone, Default)]
pub struct Notifications {
    /// The endpoints, in the order written.
    pub endpoints: Vec<Endpoint>,
    /// Who gets mail.
    pub mail: Option<Mail>,
    /// A night is late when none ended well for so long.
    pub late_after: Option<Duration>,
}

/// An endpoint as it is written. A duration is text, as everywhere.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    url: String,
    token: Option<String>,
    events: Option<Vec<String>>,
    jobs: Option<Vec<String>>,
    secret: Option<String>,
    timeout: Option<String>,
    retries: Option<u32>,
}

const FORM: &str = r#"write [{"url":"https://...","token":"...","events":["succeeded","failed"],"jobs":["night"],"secret":"...","timeout":"30s","retries":2}]"#;

/// The endpoints of the replaced system start things downstream: whoever did not ask for a failure must not get one.
const EVENTS: [Event; 1] = [Event::Succeeded];
/// The jobs by their names outside.
const JOBS: [&str; 3] = ["night", Stage::BackupPush.name(), Stage::SchemaExport.name()];
const RETRIES: u32 = 2;
const MOST_RETRIES: u32 = 20;

impl Notifications {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        if reader.text("NOTIFICATIONS").is_some() && reader.text("NOTIFICATION_URLS").is_some() {
            reader.problem("NOTIFICATION_URLS", "set together with NOTIFICATIONS: unset this older name");
        }
        let timeout = reader.duration("NOTIFICATION_TIMEOUT", Duration::from_secs(30));
        let endpoints = reader.parse("NOTIFICATIONS", Vec::new(), |text| {
            let list: Vec<Written> = parse_list(text, FORM)?;
            numbered(list.into_iter().map(|written| endpoint(written, timeout)))
        });
        let older = reader.parse("NOTIFICATION_URLS", Vec::new(), |text| {
            let list: Vec<String> = parse_list(text, r#"write ["https://..."]"#)?;
            numbered(list.into_iter().map(|url| endpoint(Written { url, ..Written::default() }, timeout)))
        });
        let late_after = reader.duration("LATE_AFTER", Duration::ZERO);
        Self {
            endpoints: if endpoints.is_empty() { older } else { endpoints },
            mail: Mail::read(reader, timeout),
            late_after: (!late_after.is_zero()).then_some(late_after),
        }
    }
}

fn endpoint(written: Written, timeout: Duration) -> Result<Endpoint, String> {
    let parsed = Url::parse(&written.url).map_err(|error| format!("not a URL ({error})"))?;
    if !parsed.has_host() || !matches!(parsed.scheme(), "http" | "https") {
        return Err("not an http(s) URL".to_owned());
    }
    let given = |text: Option<String>| text.filter(|text| !text.is_empty()).map(Secret::new);
    let signing_secret = given(written.secret);
    if signing_secret.as_ref().is_some_and(|secret| key_of(secret.expose()).is_none()) {
        return Err("\"secret\": what follows whsec_ is not base64".to_owned());
    }
    let retries = written.retries.unwrap_or(RETRIES);
    if retries > MOST_RETRIES {
        return Err(format!("\"retries\": {retries} is more than {MOST_RETRIES}"));
    }
    Ok(Endpoint {
        url: Secret::new(written.url),
        host: host_and_port(&parsed),
        token: given(written.token),
        events: written
            .events
            .map_or(Ok(EVENTS.to_vec()), |names| events(names.iter().map(String::as_str)))?,
        jobs: written
            .jobs
            .map(|names| names.iter().map(|name| known(name, "a job", JOBS)).collect())
            .transpose()?,
        signing_secret,
        timeout: written.timeout.map_or(Ok(timeout), |text| time_limit(&text))?,
        retries,
    })
}

/// The key that a secret stands for: `whsec_` and base64 as Standard Webhooks writes them, or the bytes of any other text.
fn key_of(secret: &str) -> Option<Vec<u8>> {
    match secret.strip_prefix("whsec_") {
        Some(encoded) => STANDARD.decode(encoded).ok().filter(|key| !key.is_empty()),
        None => Some(secret.as_bytes().to_vec()),
    }
}

fn time_limit(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .ok()
        .filter(|limit| !limit.is_zero())
        .ok_or_else(|| format!("\"timeout\": {text:?} is not a duration: write 500ms, 30s or 5m"))
}

/// Events by their names.
pub(super) fn events<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Vec<Event>, String> {
    let event = |name| {
        let name = known(name, "an event", Event::ALL.map(Event::name))?;
        Ok(Event::ALL.into_iter().filter(move |event| event.name() == name))
    };
    let found: Result<Vec<_>, String> = names.into_iter().map(event).collect();
    found.map(|found| found.into_iter().flatten().collect())
}

/// One of a closed set of names; for another, which it may mean.
fn known<const N: usize>(name: &str, what: &str, names: [&'static str; N]) -> Result<&'static str, String> {
    if let Some(known) = names.into_iter().find(|known| *known == name) {
        return Ok(known);
    }
    // `success`, `failure`: the same word in another form.
    let akin = || names.into_iter().find(|known| name.len() > 3 && name.get(..4) == known.get(..4));
    Err(match nearest(name, names).or_else(akin) {
        Some(near) => format!("{name:?} is not {what}: did you mean {near:?}?"),
        None => format!("{name:?} is not {what}: one of {}", names.join(", ")),
    })
}

fn parse_list<T: serde::de::DeserializeOwned>(text: &str, form: &str) -> Result<Vec<T>, String> {
    // serde's messages quote values of a wrong type; the position is enough.
    serde_json::from_str(text).map_err(|error| {
        format!("not such a JSON list (line {}, column {}): {form}", error.line(), error.column())
    })
}

fn numbered(endpoints: impl Iterator<Item = Result<Endpoint, String>>) -> Result<Vec<Endpoint>, String> {
    endpoints
        .enumerate()
        .map(|(at, one)| one.map_err(|problem| format!("entry {}: {problem}", at + 1)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Variables;

    fn read(pairs: &[(&str, &str)]) -> Result<Notifications, String> {
        let variables = Variables::from_pairs(pairs.iter().copied());
        let mut reader = Reader::new(&variables);
        let read = Notifications::read(&mut reader);
        reader.finish().map(|()| read).map_err(|error| error.to_string())
    }

    fn only(entry: &str) -> Result<Endpoint, String> {
        read(&[("NOTIFICATIONS", &format!("[{entry}]"))]).map(|mut read| read.endpoints.remove(0))
    }

    #[test]
    fn both_forms_are_read() {
        let new = read(&[(
            "NOTIFICATIONS",
            r#"[{"url":"https://a.example/x","token":"t"},{"url":"http://b:81/"}]"#,
        )])
        .unwrap();
        assert_eq!(new.endpoints[0].token.as_ref().map(Secret::expose), Some("t"));
        assert_eq!(new.endpoints[1].host(), "b:81");
        let older = read(&[("NOTIFICATION_URLS", r#"["https://a.example/x"]"#)]).unwrap();
        assert_eq!((older.endpoints.len(), older.endpoints[0].retries), (1, RETRIES));
    }

    #[test]
    fn who_does_not_say_is_told_of_success_only() {
        assert_eq!(only(r#"{"url":"https://a.example"}"#).unwrap().events, [Event::Succeeded]);
        let older = read(&[("NOTIFICATION_URLS", r#"["https://a.example/x"]"#)]).unwrap();
        assert_eq!(older.endpoints[0].events, [Event::Succeeded]);
        let asked = only(r#"{"url":"https://a.example","events":["failed","late"]}"#).unwrap();
        assert_eq!(asked.events, [Event::Failed, Event::Late]);
        assert!(only(r#"{"url":"https://a.example","events":[]}"#).unwrap().events.is_empty());
    }

    #[test]
    fn the_success_of_a_job_beside_the_night_is_told_to_those_who_name_it() {
        let entry = |more: &str| {
            only(&format!(r#"{{"url":"https://a.example","events":["succeeded","failed"]{more}}}"#))
        };
        let wants = |endpoint: &Endpoint| {
            [("night", Event::Succeeded), ("backup-push", Event::Succeeded), ("backup-push", Event::Failed)]
                .map(|(job, event)| endpoint.wants(event, job))
        };
        assert_eq!(wants(&entry("").unwrap()), [true, false, true]);
        assert_eq!(wants(&entry(r#","jobs":["night"]"#).unwrap()), [true, false, false]);
        assert_eq!(wants(&entry(r#","jobs":["backup-push"]"#).unwrap()), [false, true, true]);
        let text = entry(r#","jobs":["backup_push"]"#).unwrap_err();
        assert!(text.ends_with(r#""backup_push" is not a job: did you mean "backup-push"?"#), "{text}");
    }

    #[test]
    fn an_event_that_is_none_names_the_nearest() {
        for (written, meant) in [("success", "succeeded"), ("suceeded", "succeeded"), ("failure", "failed")] {
            let entry = format!(r#"{{"url":"https://a.example","events":["late","{written}"]}}"#);
            assert_eq!(
                only(&entry).unwrap_err(),
                format!("NOTIFICATIONS: entry 1: {written:?} is not an event: did you mean {meant:?}?")
            );
        }
        let text = only(r#"{"url":"https://a.example","events":["x"]}"#).unwrap_err();
        assert!(text.ends_with("one of started, succeeded, failed, interrupted, late"), "{text}");
    }

    #[test]
    fn a_secret_is_base64_behind_its_prefix_and_its_own_bytes_without() {
        let key = |secret| only(&format!(r#"{{"url":"https://a.example","secret":"{secret}"}}"#));
        assert_eq!(key("whsec_aHVzaA==").unwrap().signing_key().unwrap(), b"hush");
        assert_eq!(key("hush").unwrap().signing_key().unwrap(), b"hush");
        assert_eq!(key("").unwrap().signing_key(), None);
        for wrong in ["whsec_not base64!", "whsec_"] {
            let text = key(wrong).unwrap_err();
            assert!(text.contains("is not base64") && !text.contains("not base64!"), "{text}");
        }
    }

    #[test]
    fn an_endpoint_may_have_a_time_limit_and_retries_of_its_own() {
        let pairs = [
            ("NOTIFICATION_TIMEOUT", "7s"),
            (
                "NOTIFICATIONS",
                r#"[{"url":"https://a.example"},{"url":"https://b.example","timeout":"250ms","retries":0}]"#,
            ),
        ];
        let endpoints = read(&pairs).unwrap().endpoints;
        assert_eq!((endpoints[0].timeout, endpoints[0].retries), (Duration::from_secs(7), 2));
        assert_eq!((endpoints[1].timeout, endpoints[1].retries), (Duration::from_millis(250), 0));
        let wrong = |field: &str| only(&format!(r#"{{"url":"https://a.example",{field}}}"#)).unwrap_err();
        assert!(wrong(r#""timeout":"soon""#).contains("write 500ms, 30s or 5m"));
        assert!(wrong(r#""timeout":"0s""#).contains("write 500ms, 30s or 5m"));
        assert!(wrong(r#""retries":21"#).contains("21 is more than 20"));
        assert!(wrong(r#""retry":2"#).contains("not such a JSON list"));
    }

    #[test]
    fn a_night_is_late_only_where_that_is_asked_for() {
        assert_eq!(read(&[]).unwrap().late_after, None);
        assert_eq!(read(&[("LATE_AFTER", "26h")]).unwrap().late_after, Some(Duration::from_secs(26 * 3600)));
    }

    #[test]
    fn a_wrong_form_is_an_error_that_never_quotes_the_value() {
        let text = read(&[("NOTIFICATIONS", r#"["https://hook.example/hush"]"#)]).unwrap_err();
        assert!(text.contains("write [{\"url\"") && !text.contains("hush"), "{text}");
        let text = read(&[("NOTIFICATION_URLS", r#"["ftp://x"]"#)]).unwrap_err();
        assert!(text.contains("entry 1: not an http(s) URL"));
    }
}
