//! `/metrics`: how things stand, in the text form that Prometheus reads (OpenMetrics 1.0). All of it is asked anew for each scrape, so that
//! what is gone does not stay.
//!
//! `docs/alerts.yml` and `docs/grafana-dashboard.json` are made of these.

use std::sync::atomic::AtomicU64;

use actix_web::HttpResponse;
use chrono::{DateTime, Utc};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::adapters::ledger::LedgerReader;
use crate::config::Config;
use crate::jobs::overview::{Measures, WarehouseMeasures, measures};

const FORM: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A name and a value for each label.
type Labels = Vec<(&'static str, String)>;
type Gauges = Family<Labels, Gauge<f64, AtomicU64>>;

/// Answers a scrape. Whoever mounts it has looked at the token.
pub(super) async fn metrics(config: &Config, ledger: &LedgerReader) -> HttpResponse {
    match text(&measures(config, ledger).await) {
        Ok(text) => HttpResponse::Ok().content_type(FORM).body(text),
        Err(_) => HttpResponse::InternalServerError().finish(),
    }
}

/// The measures as text.
fn text(measures: &Measures) -> Result<String, std::fmt::Error> {
    let mut book = Book(Registry::with_prefix("nightferry"));
    let version = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
    book.0.register("build", "The version of nightferry that answers", version);
    let up = |is_up| if is_up { 1.0 } else { 0.0 };
    let parts = [("warehouse", measures.warehouse.is_some()), ("queue", measures.queue.error.is_none())];
    book.gauges(
        "up",
        "Whether the warehouse and the queue answer",
        parts.map(|(part, is_up)| (vec![("component", part.to_owned())], up(is_up))),
    );
    of_queues(&mut book, measures);
    if let Some(warehouse) = &measures.warehouse {
        of_warehouse(&mut book, warehouse);
    }
    let mut text = String::new();
    encode(&mut text, &book.0)?;
    Ok(text)
}

fn of_queues(book: &mut Book, measures: &Measures) {
    let jobs = measures.queue.counts.iter().flat_map(|counts| {
        let states = [
            ("waiting", counts.waiting),
            ("active", counts.active),
            ("completed", counts.completed),
            ("failed", counts.failed),
            ("delayed", counts.delayed),
            ("paused", counts.paused),
        ];
        states.map(|(state, number)| {
            let labels = vec![("queue", counts.stage.name().to_owned()), ("state", state.to_owned())];
            (labels, number as f64)
        })
    });
    book.gauges("queue_jobs", "How many jobs of a queue stand how", jobs);
    let paused = measures.queue.counts.iter().map(|counts| {
        (vec![("queue", counts.stage.name().to_owned())], f64::from(u8::from(counts.is_paused)))
    });
    book.gauges("queue_paused", "Whether the jobs of a queue are kept waiting", paused);
    let workers = measures
        .queue
        .counts
        .iter()
        .map(|counts| (vec![("queue", counts.stage.name().to_owned())], counts.workers as f64));
    book.gauges("queue_workers", "How many workers take the jobs of a queue", workers);
    let next =
        measures.schedule.iter().map(|next| (vec![("schedule", next.of.to_owned())], seconds(next.at)));
    book.gauges("schedule_next_timestamp_seconds", "When a schedule comes next", next);
}

fn of_warehouse(book: &mut Book, warehouse: &WarehouseMeasures) {
    let of_stage = |stage: &str| vec![("stage", stage.to_owned())];
    book.gauges(
        "last_success_timestamp_seconds",
        "When a stage, or the night, last ended well",
        warehouse.last_success.iter().map(|one| (of_stage(&one.stage), seconds(one.ended_at))),
    );
    book.gauges(
        "stage_duration_seconds",
        "How long the last attempt of a stage took that ended well",
        warehouse.stages.iter().map(|one| (of_stage(&one.stage), one.seconds)),
    );
    book.gauges(
        "stage_rows",
        "How many rows it wrote",
        warehouse.stages.iter().map(|one| (of_stage(&one.stage), one.rows as f64)),
    );
    book.gauges(
        "stage_bytes",
        "How many bytes of rows it wrote",
        warehouse.stages.iter().map(|one| (of_stage(&one.stage), one.bytes as f64)),
    );
    book.gauges(
        "step_duration_seconds",
        "How long each of its steps took",
        warehouse
            .steps
            .iter()
            .map(|one| (vec![("stage", one.stage.clone()), ("step", one.step.clone())], one.seconds)),
    );
    of_nights(book, warehouse);
    let failures = Family::<Labels, Counter>::default();
    for one in &warehouse.failures {
        let labels = vec![("stage", one.stage.clone()), ("kind", one.kind.clone())];
        failures.get_or_create(&escaped(labels)).inc_by(one.number.unsigned_abs());
    }
    book.0.register(
        "failures",
        "Attempts of a stage that did not end well, by the kind of the error",
        failures,
    );
    // Without the run: each night would be a series of its own.
    let holder = warehouse.lock.as_ref().map(|lock| lock.who.split_once(' ').map_or("", |(_, what)| what));
    let is_held = f64::from(u8::from(holder.is_some()));
    let labels = vec![("holder", holder.unwrap_or_default().to_owned())];
    book.gauges("warehouse_lock_held", "Whether somebody holds the warehouse, and who", [(labels, is_held)]);
}

fn of_nights(book: &mut Book, warehouse: &WarehouseMeasures) {
    let night = &warehouse.night;
    book.gauge("run_duration_seconds", "How long the last night took that ended well", night.last_seconds);
    book.gauge(
        "run_usual_duration_seconds",
        "How long such a night usually takes: the median of the last seven",
        night.usual_seconds,
    );
    let well = night.last_succeeded.map(|well| f64::from(u8::from(well)));
    book.gauge("run_last_succeeded", "Whether the last night that has ended did so well", well);
    let is_open = f64::from(u8::from(night.open_since.is_some()));
    book.gauge("run_in_progress", "Whether a night is open", Some(is_open));
    let began = night.open_since.map(seconds);
    book.gauge("run_start_timestamp_seconds", "When the night that is open began", began);
}

struct Book(Registry);

impl Book {
    /// Writes down values of one name; a name without any is left out.
    fn gauges(&mut self, name: &str, help: &str, values: impl IntoIterator<Item = (Labels, f64)>) {
        let family = Gauges::default();
        let mut any = false;
        for (labels, value) in values {
            family.get_or_create(&escaped(labels)).set(value);
            any = true;
        }
        if any {
            self.0.register(name, help, family);
        }
    }

    /// Writes down the value of a name without labels; a name without one is left out.
    fn gauge(&mut self, name: &str, help: &str, value: Option<f64>) {
        if let Some(value) = value {
            let gauge = Gauge::<f64, AtomicU64>::default();
            gauge.set(value);
            self.0.register(name, help, gauge);
        }
    }
}

/// The library writes labels as they are (OpenMetrics 1.0, "escaped-string"): a quote in the name of a machine would spoil the whole answer.
fn escaped(mut labels: Labels) -> Labels {
    for (_, value) in &mut labels {
        *value = value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
    }
    labels
}

fn seconds(time: DateTime<Utc>) -> f64 {
    time.timestamp_millis() as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::adapters::ledger::{FailureMeasure, LastSuccess, NightMeasure, StageMeasure, StepMeasure};
    use crate::adapters::postgres::activity::Holder;
    use crate::jobs::overview::{NextTime, QueueNow};

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_147_800 + seconds, 0).unwrap()
    }

    fn all() -> Measures {
        let warehouse = WarehouseMeasures {
            lock: Some(Holder { who: "20261120T041000Z full on host-1".into(), since: None }),
            last_success: vec![LastSuccess {
                stage: "night".into(),
                run_id: "20261119T041000Z".into(),
                started_at: at(0),
                ended_at: at(60),
            }],
            night: NightMeasure {
                last_seconds: Some(3_600.5),
                usual_seconds: Some(3_500.0),
                last_succeeded: Some(false),
                open_since: Some(at(90)),
            },
            stages: vec![StageMeasure {
                stage: "full-replication".into(),
                seconds: 60.25,
                tables: 2,
                rows: 7,
                bytes: 99,
            }],
            steps: vec![StepMeasure { stage: "full-replication".into(), step: "load".into(), seconds: 50.0 }],
            failures: vec![FailureMeasure {
                stage: "notification".into(),
                kind: "time\"out".into(),
                number: 3,
            }],
        };
        let next = NextTime { of: "night", pattern: "10 5 * * *".into(), at: at(120) };
        Measures { at: at(100), warehouse: Some(warehouse), queue: QueueNow::default(), schedule: vec![next] }
    }

    #[test]
    fn every_measure_has_a_name_with_its_unit() {
        let text = text(&all()).unwrap();
        for line in [
            concat!("nightferry_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
            "nightferry_up{component=\"warehouse\"} 1.0",
            "nightferry_last_success_timestamp_seconds{stage=\"night\"} 1795147860.0",
            "nightferry_run_duration_seconds 3600.5",
            "nightferry_run_usual_duration_seconds 3500.0",
            "nightferry_run_last_succeeded 0.0",
            "nightferry_run_in_progress 1.0",
            "nightferry_run_start_timestamp_seconds 1795147890.0",
            "nightferry_stage_duration_seconds{stage=\"full-replication\"} 60.25",
            "nightferry_stage_rows{stage=\"full-replication\"} 7.0",
            "nightferry_stage_bytes{stage=\"full-replication\"} 99.0",
            "nightferry_step_duration_seconds{stage=\"full-replication\",step=\"load\"} 50.0",
            "nightferry_failures_total{stage=\"notification\",kind=\"time\\\"out\"} 3",
            "nightferry_warehouse_lock_held{holder=\"full on host-1\"} 1.0",
            "nightferry_schedule_next_timestamp_seconds{schedule=\"night\"} 1795147920.0",
        ] {
            assert!(text.lines().any(|other| other == line), "{line}:\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn what_is_away_is_told_and_its_values_are_not_there() {
        let queue = QueueNow { error: Some("away".into()), counts: vec![] };
        let text = text(&Measures { warehouse: None, queue, ..all() }).unwrap();
        assert!(text.contains("nightferry_up{component=\"warehouse\"} 0.0"), "{text}");
        assert!(text.contains("nightferry_up{component=\"queue\"} 0.0"), "{text}");
        assert!(!text.contains("last_success") && !text.contains("queue_jobs"), "{text}");
    }

    #[test]
    fn each_is_described_and_nothing_else() {
        let counts = crate::jobs::operator::Counts {
            stage: crate::ids::Stage::Notification,
            queue: "Notification queue",
            is_paused: false,
            waiting: 1,
            active: 0,
            completed: 0,
            failed: 0,
            delayed: 0,
            paused: 0,
            workers: 1,
        };
        let text =
            text(&Measures { queue: QueueNow { error: None, counts: vec![counts] }, ..all() }).unwrap();
        let names = |text: &str| -> BTreeSet<String> {
            let words = text.split(|c: char| !c.is_ascii_lowercase() && c != '_');
            words.filter(|word| word.starts_with("nightferry_")).map(str::to_owned).collect()
        };
        let values: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let table: Vec<&str> =
            include_str!("../../docs/metrics.md").lines().filter(|line| line.starts_with('|')).collect();
        assert_eq!(names(&values.join("\n")), names(&table.join("\n")));
    }
}
