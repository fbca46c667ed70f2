//! Logs that are not as one would have them, and runs that are not over.

use super::*;

#[test]
fn a_byte_order_mark_hides_nothing_of_the_first_line() {
    let marked = ["\u{feff}", OLD].concat().into_bytes();
    let plain = text(&report(OLD), Language::English);
    for log in [packed(&marked), marked] {
        assert_eq!(text(&of_file(&log).unwrap(), Language::English), plain);
    }
}

#[test]
fn a_log_in_utf_16_is_named_as_such_with_how_to_convert_it() {
    let units: Vec<u16> = ["\u{feff}", OLD].concat().encode_utf16().collect();
    let little: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
    let big: Vec<u8> = units.iter().flat_map(|unit| unit.to_be_bytes()).collect();
    for log in [packed(&little), little, big] {
        let error = of_file(&log).unwrap_err();
        assert_eq!(error.kind(), crate::error::ErrorKind::Configuration);
        assert!(error.to_string().ends_with(" is written in UTF-16"), "{error}");
        assert!(error.operator_hint().unwrap().contains("iconv -f UTF-16 -t UTF-8 "), "{error:?}");
    }
}

#[test]
fn what_is_no_gzip_behind_its_first_bytes_breaks_off_there() {
    let report = of_file(&[0x1f, 0x8b, b'x', b'y']).unwrap();
    assert!(report.broke_off.is_some(), "{report:?}");
}

#[test]
fn an_item_that_was_written_before_the_start_of_its_restore_belongs_to_the_same_night() {
    let night = |from: i64| {
        lines(&[
            (from, "Start create Backup"),
            (from + 10, "pg_restore: launching item 1 INDEX a"),
            (from + 11, "Start restore"),
            (from + 15, "pg_restore: finished item 1 INDEX a"),
            (from + 20, "Restore done"),
            (from + 25, "Import and enrichment done"),
        ])
    };
    let report = report(night(0) + &night(1000));
    assert_eq!(report.runs.len(), 2);
    for run in &report.runs {
        let seconds = |part: Option<Part>| part.unwrap().duration.num_seconds();
        let parts = run.durations;
        assert_eq!([parts.backup, parts.replication, parts.total].map(seconds), [11, 9, 25]);
        assert_eq!((run.categories[2].total.num_seconds(), run.not_finished.len()), (5, 0));
        assert_eq!(run.status, Status::Succeeded);
    }
}

#[test]
fn a_restore_that_starts_after_another_one_was_done_is_another_run() {
    let log = lines(&[
        (0, "Start create Backup"),
        (1, "pg_restore: launching item 1 INDEX a"),
        (5, "Restore done"),
        (100, "Start restore"),
    ]);
    assert_eq!(report(log).runs.len(), 2);
}

#[test]
fn no_name_of_a_log_gives_orders_to_a_terminal_or_turns_its_lines() {
    let name = "x\u{202e}y\u{2066}\u{200f}";
    let ours = |rest: &str| {
        format!(
            r#"{{"msg":{rest},"time":"2026-11-20T04:10:00.500Z","run":"r\u001b\u202e","stage":"{name}"}}"#
        ) + "\n"
    };
    let log = [
        line(&format!("{name}\u{1b}"), 0, "Start restore"),
        line(&format!("{name}\u{1b}"), 1, &format!("pg_restore: launching item 1 INDEX {name}")),
        line(&format!("{name}\u{1b}"), 2, &format!("pg_restore: finished item 1 INDEX {name}")),
        line(&format!("{name}\u{1b}"), 2, &format!("pg_restore: launching item 2 INDEX {name}")),
        ours(r#""stage.started","attempt":1"#),
        ours(&format!(r#""step.started","step":"{name}""#)),
        ours(&format!(r#""stage.failed","duration_ms":3,"error.message":"{name}\u0007""#)),
    ];
    let report = report(log.concat());
    assert_eq!(report.runs.len(), 2);
    let two = compare(
        [name, name].map(str::to_owned),
        &report.runs[0],
        &report.runs[1],
        Language::English.headings(),
    );
    for text in [
        text(&report, Language::English),
        compared(&two, 3, Language::French),
        page(&report, name, Language::English),
    ] {
        let hidden = |letter: char| letter.is_control() && !matches!(letter, '\n' | '\t');
        assert!(text.contains("x\u{fffd}y") && !text.contains(hidden), "{text:?}");
        assert!(!text.contains(['\u{202e}', '\u{2066}', '\u{200f}']), "{text:?}");
    }
}

#[test]
fn a_run_that_is_tried_again_says_so_and_not_that_it_failed() {
    let line = |second: u32, rest: &str| {
        format!(
            r#"{{"msg":{rest},"time":"2026-11-20T04:10:{second:02}.500Z","run":"r1","stage":"full-replication"}}"#
        ) + "\n"
    };
    let failed = r#""stage.failed","duration_ms":1000,"error.message":"lost""#;
    let mut log = [
        line(0, r#""stage.started","attempt":1"#),
        line(1, failed),
        line(2, r#""stage.started","attempt":2"#),
        line(3, r#""Start create Backup""#),
    ]
    .concat();
    let told = text(&report(&log), Language::English);
    assert!(told.contains("\nIt is at attempt 2. The one before failed: lost\n"), "{told}");
    assert!(!told.contains("It failed"), "{told}");
    log.push_str(&line(4, failed));
    let told = text(&report(&log), Language::English);
    assert!(told.contains("\nIt failed: lost\n") && !told.contains("It is at attempt"), "{told}");
    log.push_str(&line(5, r#""stage.started","attempt":3"#).replace("full", "incremental"));
    log.push_str(&line(6, r#""run.ended","status":"failed""#));
    let told = text(&report(&log), Language::English);
    assert!(!told.contains("It is at attempt"), "{told}");
}

#[test]
fn one_row_is_one_row() {
    let table = |rows: u64| {
        let line = format!(
            r#"{{"msg":"table.copied","table":"t","rows":{rows},"bytes":9,"duration_ms":5,"time":"2026-11-20T04:10:00Z","run":"r"}}"#
        );
        report(line).runs[0].items[0].detail.clone()
    };
    assert_eq!([table(0), table(1), table(2000)], ["0 rows, 9 B", "1 row, 9 B", "2,000 rows, 9 B"]);
}
