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
