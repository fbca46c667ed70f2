//! A line of a log becomes an event, or nothing: a pure function over bytes.
//!
//! Known are nightferry's own JSON lines, those of the platform that has put time and container before them, the lines of the replaced
//! system, and what `pg_restore --verbose --jobs` says.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::moment::{self, Moment};
use crate::events;

/// What a line must contain to be worth a look. All others are only counted.
pub(super) const NEEDLES: [&str; 14] = [
    LAUNCHING,
    FINISHED,
    BEGINNING,
    "\"stage.",
    "\"step.",
    "\"table.copied\"",
    "\"object.built\"",
    "\"run.ended\"",
    BACKUP_ID,
    events::START_CREATE_BACKUP,
    events::START_RESTORE,
    events::RESTORE_DONE,
    "enrichment.add - ",
    events::IMPORT_AND_ENRICHMENT_DONE,
];

const LAUNCHING: &str = "launching item ";
const FINISHED: &str = "finished item ";

/// What pg_restore says once, before its first item.
const BEGINNING: &str = "pg_restore: entering main parallel loop";

/// The first line of a night of the replaced system, in its first years.
const BACKUP_ID: &str = "Backup ID:";

/// A line that says something about a night.
#[derive(Debug, PartialEq)]
pub(super) struct Line<'a> {
    /// When it was written, where it says so.
    pub(super) moment: Option<Moment>,
    /// The container that wrote it, `[background-1]`; empty where the line does not say.
    pub(super) source: &'a [u8],
    /// The run; empty where the line does not say.
    pub(super) run: Cow<'a, str>,
    /// The stage; empty where the line does not say.
    pub(super) stage: Cow<'a, str>,
    pub(super) event: Event<'a>,
}

/// What it says.
#[derive(Debug, PartialEq)]
pub(super) enum Event<'a> {
    Mark(Mark),
    /// A pg_restore begins with its items.
    Began,
    Launched {
        id: u64,
        what: &'a [u8],
    },
    Finished {
        id: u64,
        what: &'a [u8],
    },
    StageStarted {
        attempt: u64,
    },
    StageEnded {
        millis: Option<u64>,
        error: Option<Cow<'a, str>>,
    },
    StepStarted {
        step: Cow<'a, str>,
    },
    StepEnded {
        step: Cow<'a, str>,
        millis: Option<u64>,
        failed: bool,
    },
    Copied {
        table: Cow<'a, str>,
        rows: Option<u64>,
        bytes: Option<u64>,
        took: Took,
        connection: Cow<'a, str>,
    },
    Built {
        kind: Cow<'a, str>,
        object: Cow<'a, str>,
        table: Cow<'a, str>,
        took: Took,
        connection: Cow<'a, str>,
    },
    RunEnded {
        status: Cow<'a, str>,
    },
}

/// When an item was done, as its line says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Took {
    /// None in the lines of older versions: it ended when the line was written.
    pub(super) start: Option<DateTime<Utc>>,
    pub(super) millis: u64,
}

/// The lines that operators have known for years, in the order in which they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    BackupStarted,
    BackupNamed,
    RestoreStarted,
    RestoreDone,
    EnrichmentStarted,
    EnrichmentEnded,
    AllDone,
}

const MARKS: [(&str, Mark); 7] = [
    (events::START_CREATE_BACKUP, Mark::BackupStarted),
    (BACKUP_ID, Mark::BackupNamed),
    (events::START_RESTORE, Mark::RestoreStarted),
    (events::RESTORE_DONE, Mark::RestoreDone),
    (events::ENRICHMENT_STARTED, Mark::EnrichmentStarted),
    (events::ENRICHMENT_ENDED, Mark::EnrichmentEnded),
    (events::IMPORT_AND_ENRICHMENT_DONE, Mark::AllDone),
];

/// What came of a line.
#[derive(Debug, PartialEq)]
pub(super) enum Reading<'a> {
    Event(Line<'a>),
    /// Items that pg_restore speaks of in a text that had to be unescaped.
    Said(Said<'a>),
    /// It only quotes what we look for, or says nothing that is measured.
    Nothing,
    /// It begins like one of ours, and is broken.
    Unreadable,
}

/// What pg_restore says within a JSON line, as it said it: a name with a quotation mark, a line with its end, or several lines.
#[derive(Debug, PartialEq)]
pub(super) struct Said<'a> {
    text: String,
    moment: Option<Moment>,
    source: &'a [u8],
    run: Cow<'a, str>,
    stage: Cow<'a, str>,
}

impl Said<'_> {
    /// Its lines that say something.
    pub(super) fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        self.text.lines().filter_map(of_tool).map(|event| Line {
            moment: self.moment,
            source: self.source,
            run: Cow::Borrowed(&*self.run),
            stage: Cow::Borrowed(&*self.stage),
            event,
        })
    }
}

/// The first needle of a line: which one, and where it ends. A log of pg_restore has one on every line, so that it is searched once only.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hit {
    pub(super) needle: usize,
    pub(super) end: usize,
}

/// Reads a line, without its end.
pub(super) fn read(line: &[u8], hit: Hit) -> Reading<'_> {
    let Prefix { moment, source, rest } = prefix(line);
    if rest.first() == Some(&b'{') {
        return json(rest, moment, source);
    }
    let event = match NEEDLES[hit.needle] {
        verb @ (LAUNCHING | FINISHED) => item(&line[hit.end..], verb),
        BEGINNING => Some(Event::Began),
        _ => {
            let is_in = |name: &str| memmem::find(rest, name.as_bytes()).is_some();
            MARKS.into_iter().find(|(name, _)| is_in(name)).map(|(_, mark)| Event::Mark(mark))
        }
    };
    match event {
        Some(event) => Reading::Event(Line { moment, source, run: "".into(), stage: "".into(), event }),
        None => Reading::Nothing,
    }
}

/// When a line was written, whatever it says.
pub(super) fn written_at(line: &[u8]) -> Option<Moment> {
    let Prefix { moment, rest, .. } = prefix(line);
    moment.or_else(|| {
        let fields: Fields<'_> = serde_json::from_slice(rest).ok()?;
        fields.moment()
    })
}

struct Prefix<'a> {
    moment: Option<Moment>,
    source: &'a [u8],
    rest: &'a [u8],
}

/// `2020-10-22 05:10:01.123456789 +0200 CEST [background-1] `, each part of it where it is there.
fn prefix(line: &[u8]) -> Prefix<'_> {
    let (moment, length) =
        moment::at_start(line).map_or((None, 0), |(moment, length)| (Some(moment), length));
    let mut rest = line[length..].trim_ascii_start();
    let mut source: &[u8] = b"";
    if moment.is_some()
        && rest.first() == Some(&b'[')
        && let Some(end) = memchr::memchr(b']', rest)
    {
        source = &rest[..=end];
        rest = rest[end + 1..].trim_ascii_start();
    }
    Prefix { moment, source, rest: rest.trim_ascii_end() }
}

/// An item by its number and name, which follow the verb: `3456 TABLE DATA answers`.
fn item<'a>(text: &'a [u8], verb: &str) -> Option<Event<'a>> {
    let digits = text.iter().take_while(|letter| letter.is_ascii_digit()).count();
    // Longer ones are no ids of pg_dump.
    let known = Some(&text[..digits]).filter(|digits| (1..=18).contains(&digits.len()))?;
    let id = known.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    let what = text[digits..].strip_prefix(b" ")?.trim_ascii();
    let event = if verb == LAUNCHING { Event::Launched { id, what } } else { Event::Finished { id, what } };
    (!what.is_empty()).then_some(event)
}

/// The fields of a JSON line that are looked at. Raw: another program's line may have something else under these names.
#[derive(Debug, Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    msg: Option<&'a RawValue>,
    #[serde(borrow)]
    time: Option<&'a RawValue>,
    #[serde(borrow)]
    run: Option<&'a RawValue>,
    #[serde(borrow)]
    stage: Option<&'a RawValue>,
    #[serde(borrow)]
    step: Option<&'a RawValue>,
    #[serde(borrow)]
    table: Option<&'a RawValue>,
    #[serde(borrow)]
    object: Option<&'a RawValue>,
    #[serde(borrow)]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    status: Option<&'a RawValue>,
    #[serde(borrow)]
    connection: Option<&'a RawValue>,
    #[serde(borrow, rename = "error.message")]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    rows: Option<&'a RawValue>,
    #[serde(borrow)]
    bytes: Option<&'a RawValue>,
    #[serde(borrow)]
    started_at: Option<&'a RawValue>,
    #[serde(borrow)]
    duration_ms: Option<&'a RawValue>,
    #[serde(borrow)]
    attempt: Option<&'a RawValue>,
}

/// A text; empty where it is missing, or something else.
fn text(value: Option<&RawValue>) -> Cow<'_, str> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    value
        .and_then(|value| serde_json::from_str(value.get()).ok())
        .map_or(Cow::Borrowed(""), |Text(text)| text)
}

fn count(value: Option<&RawValue>) -> Option<u64> {
    value?.get().parse().ok()
}

impl<'a> Fields<'a> {
    fn moment(&self) -> Option<Moment> {
        moment::at_start(text(self.time).as_bytes()).map(|(moment, _)| moment)
    }

    fn took(&self) -> Option<Took> {
        let start = moment::at_start(text(self.started_at).as_bytes()).map(|(moment, _)| moment.at);
        Some(Took { start, millis: count(self.duration_ms)? })
    }

    fn event(&self) -> Option<Event<'a>> {
        let msg = text(self.msg);
        let millis = count(self.duration_ms);
        Some(match msg.as_ref() {
            events::STAGE_STARTED => Event::StageStarted { attempt: count(self.attempt).unwrap_or(1) },
            events::STAGE_ENDED => Event::StageEnded { millis, error: None },
            events::STAGE_FAILED => Event::StageEnded { millis, error: Some(text(self.error)) },
            events::STEP_STARTED => Event::StepStarted { step: text(self.step) },
            events::STEP_ENDED => Event::StepEnded { step: text(self.step), millis, failed: false },
            events::STEP_FAILED => Event::StepEnded { step: text(self.step), millis, failed: true },
            events::TABLE_COPIED => Event::Copied {
                table: text(self.table),
                rows: count(self.rows),
                bytes: count(self.bytes),
                took: self.took()?,
                connection: text(self.connection),
            },
            events::OBJECT_BUILT => Event::Built {
                kind: text(self.kind),
                object: text(self.object),
                table: text(self.table),
                took: self.took()?,
                connection: text(self.connection),
            },
            events::RUN_ENDED => Event::RunEnded { status: text(self.status) },
            _ => {
                let mark = MARKS.into_iter().find(|(name, _)| msg.starts_with(name));
                match (mark, msg) {
                    (Some((_, mark)), _) => Event::Mark(mark),
                    (None, Cow::Borrowed(said)) => of_tool(said)?,
                    (None, Cow::Owned(_)) => return None,
                }
            }
        })
    }
}

/// What a line of pg_restore says.
fn of_tool(said: &str) -> Option<Event<'_>> {
    if said.contains(BEGINNING) {
        return Some(Event::Began);
    }
    let verb = [LAUNCHING, FINISHED].into_iter().find(|verb| said.contains(verb))?;
    item(said.split_once(verb)?.1.as_bytes(), verb)
}

fn json<'a>(rest: &'a [u8], moment: Option<Moment>, source: &'a [u8]) -> Reading<'a> {
    let Ok(fields) = serde_json::from_slice::<Fields<'a>>(rest) else { return Reading::Unreadable };
    let event = fields.event();
    // The line's own time is exact; that of the platform is when it came, but in the zone that operators read.
    let moment = match (fields.moment(), moment) {
        (Some(own), Some(platform)) => Some(Moment { at: own.at, offset: platform.offset }),
        (own, platform) => own.or(platform),
    };
    let (run, stage) = (text(fields.run), text(fields.stage));
    match (event, text(fields.msg)) {
        (Some(event), _) => Reading::Event(Line { moment, source, run, stage, event }),
        (None, Cow::Owned(text)) if text.lines().any(|line| of_tool(line).is_some()) => {
            Reading::Said(Said { text, moment, source, run, stage })
        }
        (None, _) => Reading::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a line that has a needle.
    fn read(line: &[u8]) -> Reading<'_> {
        let found = |needle: &str| memmem::find(line, needle.as_bytes()).map(|at| at + needle.len());
        let hits = NEEDLES.iter().enumerate();
        let hit = hits
            .filter_map(|(needle, text)| Some(Hit { needle, end: found(text)? }))
            .min_by_key(|hit| hit.end);
        super::read(line, hit.unwrap())
    }

    fn event(line: &str) -> Option<Event<'_>> {
        match read(line.as_bytes()) {
            Reading::Event(line) => Some(line.event),
            _ => None,
        }
    }

    #[test]
    fn a_line_of_pg_restore_behind_the_platforms_prefix_is_an_item() {
        let Reading::Event(line) = read(
            b"2020-10-22 05:10:01.123456789 +0200 CEST [background-1] pg_restore: launching item 3456 TABLE DATA answers\r",
        ) else {
            panic!("no event")
        };
        assert_eq!(line.event, Event::Launched { id: 3456, what: b"TABLE DATA answers" });
        assert_eq!((line.source, line.moment.unwrap().offset), (&b"[background-1]"[..], 7200));
        assert_eq!(
            event("pg_restore: finished item 7 FK CONSTRAINT odd name fk"),
            Some(Event::Finished { id: 7, what: b"FK CONSTRAINT odd name fk" })
        );
    }

    #[test]
    fn every_event_of_ours_that_is_measured_is_read() {
        let line =
            |rest: &str| format!(r#"{{"v":0,"msg":{rest},"time":"2026-11-20T04:10:00.250Z","run":"r"}}"#);
        let table = line(r#""table.copied","table":"public.users","rows":7,"bytes":90,"duration_ms":12"#);
        assert_eq!(
            event(&table),
            Some(Event::Copied {
                table: "public.users".into(),
                rows: Some(7),
                bytes: Some(90),
                took: Took { start: None, millis: 12 },
                connection: "".into()
            })
        );
        let told = line(
            r#""object.built","kind":"ENRICHMENT","object":"10_x.sql","started_at":"2026-11-20T04:09:58.000Z","duration_ms":12,"connection":"enrichment 1""#,
        );
        assert_eq!(
            event(&told),
            Some(Event::Built {
                kind: "ENRICHMENT".into(),
                object: "10_x.sql".into(),
                table: "".into(),
                took: Took { start: Some("2026-11-20T04:09:58Z".parse().unwrap()), millis: 12 },
                connection: "enrichment 1".into()
            })
        );
        let failed = line(r#""stage.failed","duration_ms":3,"error.message":"it \"broke\"""#);
        assert_eq!(
            event(&failed),
            Some(Event::StageEnded { millis: Some(3), error: Some("it \"broke\"".into()) })
        );
        assert_eq!(event(&line(r#""Start restore""#)), Some(Event::Mark(Mark::RestoreStarted)));
        assert_eq!(
            event(&line(r#""run.ended","status":"succeeded""#)),
            Some(Event::RunEnded { status: "succeeded".into() })
        );
        assert_eq!(
            event(&line(r#""pg_restore: launching item 3 INDEX i""#)),
            Some(Event::Launched { id: 3, what: b"INDEX i" })
        );
    }

    #[test]
    fn each_event_that_is_read_has_a_needle() {
        let named = [
            events::STAGE_STARTED,
            events::STAGE_ENDED,
            events::STAGE_FAILED,
            events::STEP_STARTED,
            events::STEP_ENDED,
            events::STEP_FAILED,
            events::TABLE_COPIED,
            events::OBJECT_BUILT,
            events::RUN_ENDED,
        ];
        let names = named.into_iter().chain(MARKS.into_iter().map(|(name, _)| name));
        for name in names {
            let line = format!("{{\"msg\":\"{name}\"}}");
            assert!(NEEDLES.iter().any(|needle| line.contains(needle)), "{name}");
        }
    }

    #[test]
    fn a_quotation_is_no_event_and_a_broken_line_is_unreadable() {
        let quoted = br#"{"msg":"cannot parse \"Start restore\"","time":"2026-11-20T04:10:00Z"}"#;
        assert_eq!(read(quoted), Reading::Nothing);
        for broken in [&br#"{"msg":"Start restore""#[..], b"{\"msg\":\"Start restore\",\"run\":\"\xff\"}"] {
            assert_eq!(read(broken), Reading::Unreadable);
        }
        assert_eq!(read(b"pg_restore: launching item x TABLE"), Reading::Nothing);
        assert_eq!(read(b"pg_restore: launching item 99999999999999999999999 TABLE"), Reading::Nothing);
    }

    #[test]
    fn fields_of_another_kind_do_no_harm() {
        let odd =
            r#"{"msg":"table.copied","table":{"a":1},"rows":"many","duration_ms":5,"time":7,"run":null}"#;
        assert_eq!(
            event(odd),
            Some(Event::Copied {
                table: "".into(),
                rows: None,
                bytes: None,
                took: Took { start: None, millis: 5 },
                connection: "".into()
            })
        );
    }
}
