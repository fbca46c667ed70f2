//! Logs as they come, from their bytes to the text.

use std::io::Write;

use chrono::{NaiveDate, TimeDelta};
use proptest::prelude::*;

use super::*;

mod odd;

const OLD: &str = include_str!("../../tests/it/fixtures/replication.log");

fn question(day: Option<&str>) -> Question {
    let keep = Keep { top: 3, items: true };
    Question { day: day.map(|day| day.parse::<NaiveDate>().unwrap()), zone: None, keep }
}

fn report(log: impl AsRef<[u8]>) -> Report {
    analyze(log.as_ref(), &question(None)).unwrap()
}

fn of_day(log: &str, day: &str) -> Report {
    analyze(log.as_bytes(), &question(Some(day))).unwrap()
}

/// A line of a container at a second after five o'clock in the morning.
fn line(container: &str, second: i64, text: &str) -> String {
    let at = NaiveDate::from_ymd_opt(2020, 10, 22).unwrap().and_hms_opt(5, 0, 0).unwrap()
        + TimeDelta::seconds(second);
    format!("{} +0200 CEST [{container}] {text}\n", at.format("%Y-%m-%d %H:%M:%S.%9f"))
}

fn lines(texts: &[(i64, &str)]) -> String {
    texts.iter().map(|(second, text)| line("background-1", *second, text)).collect()
}

#[test]
fn the_night_of_the_replaced_system_is_told_in_the_form_that_operators_know() {
    assert_eq!(
        text(&of_day(OLD, "2020-10-22"), Language::French),
        "Durée de récupération du backup: 1h 27min 42s\n\
         Durée de réplication: 3h 53min 10s\n\
         Durée de l'enrichissement: 2h 0min 0s\n\
         Durée totale: 7h 20min 52s\n\
         FK CONSTRAINT total duration : 0h 58min 52s\n\
         \tFK CONSTRAINT knowledge-elements knowledge_elements_answerid_foreign : 0h 58min 52s\n\
         CONSTRAINT total duration : 0h 0min 0s\n\
         INDEX total duration : 2h 7min 20s\n\
         \tINDEX answers_assessmentid_index : 2h 7min 20s\n\
         SEQUENCE total duration : 0h 0min 0s\n\
         TABLE DATA total duration : 1h 34min 0s\n\
         \tTABLE DATA users : 0h 47min 5s\n\
         \tTABLE DATA answers : 0h 46min 55s\n"
    );
}

#[test]
fn a_night_that_broke_off_is_told_as_such_and_does_not_run_into_the_next_one() {
    let report = of_day(OLD, "2020-10-21");
    let text = text(&report, Language::English);
    assert_eq!(report.runs.len(), 1);
    assert!(
        text.starts_with("Run background-1, 2020-10-21 05:00:00 +0200, its end is not in the log\n"),
        "{text}"
    );
    assert!(text.contains("Replication duration: 0h 0min 1s, not finished\n"), "{text}");
    assert!(text.contains("Enrichment duration: not in the log\n"), "{text}");
    assert!(
        text.contains("NOT FINISHED :\n\tTABLE DATA answers, since 2020-10-21 06:00:01 +0200\n"),
        "{text}"
    );
}

#[test]
fn a_day_without_a_run_names_those_that_have_one() {
    let text = text(&of_day(OLD, "2020-10-23"), Language::English);
    assert!(text.contains("There are runs that started on 2020-10-21, 2020-10-22."), "{text}");
}

#[test]
fn several_runs_of_a_day_are_told_one_by_one() {
    let night = |from: i64| {
        lines(&[
            (from, "Start create Backup"),
            (from + 10, "Start restore"),
            (from + 11, "pg_restore: launching item 1 INDEX a"),
            (from + 14, "pg_restore: finished item 1 INDEX a"),
            (from + 20, "Restore done"),
            (from + 25, "enrichment.add - Ended"),
            (from + 25, "Import and enrichment done"),
        ])
    };
    let report = report(night(0) + &night(1000));
    let totals: Vec<_> =
        report.runs.iter().map(|run| run.durations.total.unwrap().duration.num_seconds()).collect();
    assert_eq!(totals, [25, 25]);
    assert_eq!(text(&report, Language::English).matches("Run background-1, 2020-10-22 05:").count(), 2);
}

#[test]
fn a_run_across_midnight_belongs_to_the_day_on_which_it_started_in_the_zone_that_is_asked_for() {
    let evening = lines(&[
        (18 * 3600 + 1800, "Start restore"),
        (21 * 3600, "Restore done"),
        (22 * 3600, "Import and enrichment done"),
    ]);
    assert_eq!(of_day(&evening, "2020-10-22").runs.len(), 1);
    assert_eq!(of_day(&evening, "2020-10-23").runs.len(), 0);
    let tokyo = Question { zone: Some(chrono_tz::Asia::Tokyo), ..question(Some("2020-10-23")) };
    let report = analyze(evening.as_bytes(), &tokyo).unwrap();
    assert_eq!(report.runs[0].started_at.unwrap().to_rfc3339(), "2020-10-23T06:30:00+09:00");
}

#[test]
fn two_containers_that_restore_at_once_are_two_runs() {
    let log = [
        line("background-1", 0, "pg_restore: launching item 7 INDEX a"),
        line("one-off-2", 1, "pg_restore: launching item 7 INDEX b"),
        line("background-1", 5, "pg_restore: finished item 7 INDEX a"),
        line("one-off-2", 9, "pg_restore: finished item 7 INDEX b"),
    ];
    let report = report(log.concat());
    let times: Vec<i64> = report.runs.iter().map(|run| run.categories[2].total.num_seconds()).collect();
    assert_eq!(times, [5, 8]);
    assert!(report.runs.iter().all(|run| run.status == Status::Unknown));
}

#[test]
fn two_nights_of_pg_restore_alone_are_two_runs() {
    let night = |from: i64, seconds: i64| {
        lines(&[
            (from, "pg_restore: entering main parallel loop"),
            (from + 1, "pg_restore: launching item 7 INDEX a"),
            (from + 1 + seconds, "pg_restore: finished item 7 INDEX a"),
            (from + 2 + seconds, "pg_restore: finished main parallel loop"),
        ])
    };
    let log = [night(0, 5), night(86_400, 8)].concat();
    let times = |report: &Report| -> Vec<i64> {
        report.runs.iter().map(|run| run.categories[2].total.num_seconds()).collect()
    };
    assert_eq!(times(&report(&log)), [5, 8]);
    assert_eq!(times(&of_day(&log, "2020-10-23")), [8]);
}

#[test]
fn what_pg_restore_says_is_read_however_json_has_to_write_it() {
    let said = |second: i64, text: &str| {
        line("background-1", second, &format!("{{\"msg\":{}}}", serde_json::Value::from(text)))
    };
    let log = [
        said(0, "pg_restore: launching item 7 TABLE DATA odd\"name\n"),
        said(1, "pg_restore: launching item 8 INDEX a\npg_restore: launching item 9 INDEX b\n"),
        said(5, "pg_restore: finished item 7 TABLE DATA odd\"name\n"),
        said(6, "pg_restore: finished item 8 INDEX a\npg_restore: finished item 9 INDEX b\n"),
    ];
    let run = &report(log.concat()).runs[0];
    assert_eq!(run.categories[4].slowest[0].name, "TABLE DATA odd\"name");
    assert_eq!((run.categories[2].count, run.timed(), run.not_finished.len()), (2, 3, 0));
}

#[test]
fn a_log_that_begins_in_the_middle_says_so() {
    let report = report(lines(&[(0, "pg_restore: finished item 7 INDEX a"), (1, "Restore done")]));
    assert_eq!(report.runs[0].items_without_start, 1);
    assert!(text(&report, Language::English).contains("The log begins in the middle of the run."));
}

#[test]
fn lines_of_pg_restore_without_a_time_say_how_to_get_one() {
    let report = report("pg_restore: launching item 7 INDEX a\npg_restore: finished item 7 INDEX a\n");
    let text = text(&report, Language::English);
    assert_eq!(report.runs[0].items_without_time, 1);
    assert!(text.contains("send its output through ts"), "{text}");
}

#[test]
fn the_lines_of_nightferry_give_stages_steps_tables_and_tries() {
    let line = |second: u32, rest: &str| {
        format!(
            r#"{{"v":0,"msg":{rest},"time":"2026-11-20T04:10:{second:02}.500Z","run":"r1","stage":"full-replication"}}"#
        ) + "\r\n"
    };
    let log = [
        line(0, r#""stage.started","attempt":1"#),
        line(1, r#""stage.failed","duration_ms":1000,"error.message":"lost"#).replace("lost", "lost\""),
        line(2, r#""stage.started","attempt":2"#),
        line(2, r#""Start create Backup""#),
        line(3, r#""Start restore""#),
        line(3, r#""step.started","step":"load""#),
        line(
            5,
            r#""table.copied","table":"public.users","rows":7,"bytes":90,"duration_ms":1250,"connection":"load 1""#,
        ),
        line(
            6,
            r#""object.built","kind":"INDEX","object":"users_idx","table":"audit.users","duration_ms":40"#,
        ),
        line(7, r#""step.ended","step":"load","duration_ms":4000"#),
        line(7, r#""Restore done""#),
        line(8, r#""enrichment.add - Ended""#),
        line(9, r#""Import and enrichment done""#),
        line(9, r#""stage.ended","duration_ms":7000"#),
        line(9, r#""run.ended","status":"succeeded""#),
    ];
    let report = report(log.concat());
    let run = &report.runs[0];
    assert_eq!((report.unreadable_lines, report.runs.len(), run.tries), (0, 1, 2));
    assert_eq!((run.rows, run.bytes, run.status), (7, 90, Status::Succeeded));
    let text = text(&report, Language::English);
    for expected in [
        "Total duration: 0h 0min 9s\n",
        "\tTABLE DATA users : 0h 0min 1s\n",
        "\tINDEX audit.users_idx : 0h 0min 0s\n",
        "STAGE full-replication : 0h 0min 1s, failed\nSTAGE full-replication : 0h 0min 7s\n\tSTEP load : 0h 0min 4s\n",
        "A stage was tried 2 times",
    ] {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["runs"][0]["categories"][4]["slowest"][0]["duration_ms"], 1250);
    assert_eq!(json["runs"][0]["stages"][1]["steps"][0]["duration_ms"], 4000);
}

#[test]
fn a_gzip_that_was_cut_is_read_up_to_there() {
    let packed = packed(OLD.as_bytes());
    let whole = of_file(&packed).unwrap();
    assert_eq!((whole.lines, whole.broke_off), (OLD.lines().count() as u64, None));
    let report = of_file(&packed[..packed.len() - 12]).unwrap();
    assert!(report.broke_off.is_some() && report.lines > 1, "{report:?}");
    assert!(text(&report, Language::English).contains("The log breaks off after"));
}

#[test]
fn a_page_shows_each_item_and_no_markup_of_the_log() {
    let log = OLD.replace("TABLE DATA users", "TABLE DATA <script>alert(1)</script>");
    let page = page(&of_day(&log, "2020-10-22"), "<b>.log", Language::English);
    assert!(
        page.contains("TABLE DATA &lt;script&gt;") && page.contains("<title>&lt;b&gt;.log</title>"),
        "{page}"
    );
    assert!(!page.contains("<script") && !page.contains("<b>") && !page.contains("http://"));
    assert!(page.contains("role=\"img\"") && page.contains("INDEX answers_assessmentid_index"));
}

#[test]
fn what_is_told_later_lies_where_it_was_done_on_the_lane_of_its_connection_or_of_its_stage() {
    let line = |rest: &str| {
        format!(
            r#"{{"v":0,"msg":{rest},"time":"2026-11-20T04:10:59.000Z","run":"r1","stage":"learning-content-replication"}}"#
        ) + "\n"
    };
    let copied = |table: &str, second: u32| {
        line(&format!(
            r#""table.copied","table":"public.{table}","started_at":"2026-11-20T04:10:{second:02}.000Z","duration_ms":2000,"connection":"content 1""#
        ))
    };
    let built =
        line(r#""object.built","kind":"ENRICHMENT","object":"10_x.sql","table":null,"duration_ms":500"#);
    let report = report([copied("areas", 10), copied("skills", 12), built].concat());
    let timeline = report.runs[0].timeline();
    let lanes: Vec<_> = timeline.lanes().into_iter().map(|lane| (lane.name, lane.items.len())).collect();
    assert_eq!(
        lanes,
        [(Some("content 1".to_owned()), 2), (Some("learning-content-replication".to_owned()), 1)]
    );
    let drawn = crate::timeline::svg(&timeline);
    for part in [
        "TABLE DATA skills, 2.00 s from 04:10:12",
        "ENRICHMENT 10_x.sql, 0.50 s from 04:10:58",
        "<rect class=\"e\"",
    ] {
        assert!(drawn.contains(part), "{part}: {drawn}");
    }
}

#[test]
fn two_nights_are_compared_by_what_got_slower() {
    let night = |index: i64, table: i64, more: &str| {
        report(lines(&[
            (0, "Start restore"),
            (0, "pg_restore: launching item 1 INDEX a"),
            (0, "pg_restore: launching item 2 TABLE DATA t"),
            (0, &format!("pg_restore: launching item 3 INDEX {more}")),
            (5, &format!("pg_restore: finished item 3 INDEX {more}")),
            (index, "pg_restore: finished item 1 INDEX a"),
            (table, "pg_restore: finished item 2 TABLE DATA t"),
            (100, "Restore done"),
            (100, "Import and enrichment done"),
        ]))
        .runs
        .remove(0)
    };
    let names = ["monday".to_owned(), "tuesday".to_owned()];
    let two = compare(names, &night(10, 40, "x"), &night(70, 30, "y"), Language::English.headings());
    let of = |changes: &[compare::Change]| -> Vec<(String, i64)> {
        changes.iter().map(|change| (change.name.clone(), change.difference.num_seconds())).collect()
    };
    assert_eq!(of(&two.slower), [("INDEX a".to_owned(), 60)]);
    assert_eq!(of(&two.faster), [("TABLE DATA t".to_owned(), -10)]);
    assert_eq!(of(&two.only_in_one), [("INDEX x".to_owned(), -5), ("INDEX y".to_owned(), 5)]);
    let text = compared(&two, 3, Language::English);
    assert!(text.contains("INDEX a  0h 0min 10s  0h 1min 10s  +0h 1min 0s\n"), "{text}");
    assert!(text.starts_with("  monday: Run"), "{text}");
    assert!(text.lines().nth(1).unwrap().ends_with(", succeeded"), "{text}");
}

#[test]
fn a_clock_of_half_hours_is_told_as_it_was() {
    let log = "2026-11-20 09:40:01.123 +0530 IST [b-1] Start restore\n2026-11-20 09:50:01.123 +0530 IST [b-1] Restore done\n";
    let started = report(log).runs[0].started_at.unwrap();
    assert_eq!(started.to_rfc3339(), "2026-11-20T09:40:01.123+05:30");
}

#[test]
fn a_log_of_nothing_but_beginnings_stays_small() {
    let begun: String =
        (0..30_000).map(|id| line("a", 0, &format!("pg_restore: launching item {id} INDEX i"))).collect();
    assert_eq!(report(begun).runs[0].items_forgotten, 20_000);
    let runs: String = (0..1_000).map(|run| line(&format!("c{run}"), run, "Start create Backup")).collect();
    let report = report(runs);
    assert_eq!((report.runs.len(), report.dropped_runs), (20, 980));
}

/// A log in a file, as the command reads it.
fn of_file(bytes: &[u8]) -> Result<Report> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    analyze(open(file.path())?, &question(None))
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

/// Pieces of lines that the reader knows, so that arbitrary logs reach further than the first check.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let known = OLD.lines().map(str::to_owned).chain(
        [
            r#"{"msg":"object.built","kind":"INDEX","object":"i","table":"s.t","duration_ms":18446744073709551615,"time":"2026-11-20T04:10:00Z","run":"r"}"#,
            r#"{"msg":"step.ended","step":"x","duration_ms":9,"time":"9999-12-31T23:59:59Z","run":"r","stage":"s"}"#,
            r#"{"msg":"step.started","step":"x","time":"0000-01-01T00:00:00Z","run":"r","stage":"s"}"#,
            r#"{"msg":"run.ended","status":"failed","time":"2026-11-20T04:10:00Z","run":"r"}"#,
            "launching item ",
            "finished item 3456 ",
            "2020-10-22 05:10:01.1 +2360 [",
            "\r\n",
            "\n",
            "{",
        ]
        .map(str::to_owned),
    );
    let known: Vec<String> = known.collect();
    prop_oneof![
        4 => prop::sample::select(known).prop_map(String::into_bytes),
        2 => prop::collection::vec(any::<u8>(), 0..40),
        3 => Just(b"\n".to_vec()),
    ]
}

proptest! {
    #[test]
    fn no_log_makes_it_fall_and_every_line_is_counted(pieces in prop::collection::vec(piece(), 0..30), cut in 0_usize..40) {
        let mut log = pieces.concat();
        log.truncate(log.len().saturating_sub(cut));
        let report = report(&log);
        let ends = log.iter().filter(|byte| **byte == b'\n').count();
        let rest = usize::from(log.last().is_some_and(|byte| *byte != b'\n'));
        prop_assert_eq!(report.lines, (ends + rest) as u64);
        prop_assert_eq!(report.bytes, log.len() as u64);
        let [english, french] = [Language::English, Language::French].map(|language| text(&report, language));
        prop_assert!(!english.is_empty() && !french.is_empty());
        prop_assert!(!english.chars().any(|letter| letter.is_control() && letter != '\n' && letter != '\t'));
        prop_assert!(serde_json::to_string(&report).is_ok());
        let page = page(&report, "log", Language::English);
        prop_assert!(!page.contains("NaN") && page.ends_with("</html>\n"));
        if let [first, .., last] = report.runs.as_slice() {
            let _ = compared(&compare(["a".into(), "b".into()], first, last, Language::English.headings()), 3, Language::French);
        }
    }
}
