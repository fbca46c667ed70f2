//! The queue, the schedule and the retries: `REDIS_URL`, `QUEUE_FILE`, `SCHEDULE`, `SCHEDULE_TIMEZONE`, `SCHEDULE_MISSED`,
//! `SCHEDULE_GRACE`, `MAX_RETRY_COUNT`, `EXPONENTIAL_RETRY_DELAY`, `ON_INTERRUPTED`.

use std::path::PathBuf;
use std::time::Duration;

use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use url::Url;

use super::{Reader, Secret};

/// What becomes of a job whose worker died or was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnInterrupted {
    /// It is failed: an operator restarts the stage.
    Fail,
    /// It starts again.
    Resume,
}

/// What becomes of a time of a schedule that nobody kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnMissed {
    /// It is left out.
    Skip,
    /// The latest one is made up for.
    Run,
}

/// The settings of the queue.
#[derive(Debug, Clone)]
pub struct Queue {
    /// The Redis of the queue; without one the file serves.
    pub redis_url: Option<Secret>,
    /// The embedded queue's file.
    pub file: PathBuf,
    /// When the night starts.
    pub schedule: Cron,
    /// Where that time is meant.
    pub timezone: Tz,
    /// What becomes of a time that was missed, of each schedule.
    pub on_missed: OnMissed,
    /// How late it may be made up for.
    pub missed_grace: Duration,
    /// How often a stage is tried again.
    pub max_retries: u32,
    /// The first pause; each further one is twice as long.
    pub retry_delay: Duration,
    /// What becomes of an interrupted job.
    pub on_interrupted: OnInterrupted,
}

const DEFAULT_SCHEDULE: &str = "10 5 * * *";

impl Queue {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            redis_url: reader.parse("REDIS_URL", None, parse_redis).map(Secret::new),
            file: PathBuf::from(reader.text("QUEUE_FILE").unwrap_or("nightferry-queue.sqlite")),
            schedule: reader.parse("SCHEDULE", default_schedule(), parse_cron),
            timezone: reader.parse("SCHEDULE_TIMEZONE", chrono_tz::Europe::Paris, |text| {
                text.parse().map_err(|_| format!("{text:?} is not a time zone: write Europe/Paris or UTC"))
            }),
            on_missed: reader.choice(
                "SCHEDULE_MISSED",
                OnMissed::Skip,
                &[("skip", OnMissed::Skip), ("run", OnMissed::Run)],
            ),
            missed_grace: reader.duration("SCHEDULE_GRACE", Duration::from_secs(6 * 3600)),
            max_retries: reader.number("MAX_RETRY_COUNT", 10, 0..=100),
            retry_delay: Duration::from_millis(
                reader.number("EXPONENTIAL_RETRY_DELAY", 1000, 0..=86_400_000).into(),
            ),
            on_interrupted: reader.choice(
                "ON_INTERRUPTED",
                OnInterrupted::Fail,
                &[("fail", OnInterrupted::Fail), ("resume", OnInterrupted::Resume)],
            ),
        }
    }
}

fn default_schedule() -> Cron {
    parse_cron(DEFAULT_SCHEDULE).expect("the default schedule is a valid pattern")
}

/// A pattern of 5 fields.
pub(crate) fn parse_cron(text: &str) -> Result<Cron, String> {
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    parser.parse(text).map_err(|error| {
        format!("{text:?} is not a 5-field cron pattern ({error}): write minute hour day month weekday, as in {DEFAULT_SCHEDULE:?}")
    })
}

fn parse_redis(text: &str) -> Result<Option<String>, String> {
    const FORM: &str = "write redis://:password@host:6379/0, or rediss:// for TLS";
    if !text.starts_with("redis://") && !text.starts_with("rediss://") {
        return Err(format!("not a Redis URL: {FORM}"));
    }
    let url = Url::parse(text).map_err(|error| {
        format!("not a URL ({error}): {FORM}; a password with special characters must be percent-encoded")
    })?;
    let database = url.path().trim_start_matches('/');
    if database.is_empty() || database.parse::<u32>().is_ok() {
        Ok(Some(text.to_owned()))
    } else {
        Err(format!("names a database that is not a number: {FORM}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Variables;

    fn read(pairs: &[(&str, &str)]) -> Result<Queue, String> {
        let variables = Variables::from_pairs(pairs.iter().copied());
        let mut reader = Reader::new(&variables);
        let read = Queue::read(&mut reader);
        reader.finish().map(|()| read).map_err(|error| error.to_string())
    }

    #[test]
    fn the_defaults_are_those_of_the_replaced_system() {
        let queue = read(&[]).unwrap();
        assert_eq!(queue.schedule.as_str(), "10 5 * * *");
        assert_eq!((queue.max_retries, queue.retry_delay), (10, Duration::from_secs(1)));
        assert_eq!(queue.timezone, chrono_tz::Europe::Paris);
    }

    #[test]
    fn what_was_missed_is_left_out_unless_asked_for() {
        let queue = read(&[]).unwrap();
        assert_eq!((queue.on_missed, queue.missed_grace), (OnMissed::Skip, Duration::from_secs(6 * 3600)));
        let queue = read(&[("SCHEDULE_MISSED", "run"), ("SCHEDULE_GRACE", "90m")]).unwrap();
        assert_eq!((queue.on_missed, queue.missed_grace), (OnMissed::Run, Duration::from_secs(5400)));
    }

    #[test]
    fn no_retry_at_all_can_be_asked_for() {
        assert_eq!(read(&[("MAX_RETRY_COUNT", "0")]).unwrap().max_retries, 0);
    }

    #[test]
    fn a_pattern_with_seconds_or_nonsense_is_refused_with_the_form() {
        for wrong in ["0 10 5 * * *", "tomorrow", "61 5 * * *"] {
            let text = read(&[("SCHEDULE", wrong)]).unwrap_err();
            assert!(
                text.starts_with("SCHEDULE:") && text.contains("minute hour day month weekday"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_redis_url_may_name_its_database_by_a_number_only() {
        for right in ["redis://:hush@h", "redis://:hush@h/", "redis://:hush@h:6380/15", "rediss://h/0"] {
            assert!(read(&[("REDIS_URL", right)]).is_ok(), "{right}");
        }
        for wrong in
            ["redis://:hush@h/queues", "redis://:hush@h/-1", "redis://:hush@h/0/1", "redis://:hu#sh@h/0"]
        {
            let text = read(&[("REDIS_URL", wrong)]).unwrap_err();
            assert!(
                text.starts_with("REDIS_URL: ") && !text.contains("hu") && !text.contains("sh@"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_redis_url_that_is_none_is_refused_without_being_quoted() {
        let text = read(&[("REDIS_URL", "http://:hush@h")]).unwrap_err();
        assert!(text.contains("not a Redis URL") && !text.contains("hush"), "{text}");
    }
}
