//! How numbers, times and tables are written for people. No colours, no frames: the text goes into mails and tickets too.

use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};

/// `1,234,567`.
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `812 B`, `4.2 kB`, `1.1 GB`: powers of a thousand, as disks are sold.
#[expect(clippy::cast_precision_loss, reason = "one digit after the point is shown")]
#[must_use]
pub fn bytes(number: u64) -> String {
    let mut amount = number as f64;
    let mut unit = "B";
    for larger in ["kB", "MB", "GB", "TB"] {
        // What would be shown as 1000.0 belongs to the next unit.
        if amount < 999.95 {
            break;
        }
        amount /= 1000.0;
        unit = larger;
    }
    if unit == "B" { format!("{number} B") } else { format!("{amount:.1} {unit}") }
}

/// Seconds with what matters behind the point; minutes and hours from a minute on.
#[must_use]
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{:.2} s", time.as_secs_f64()),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// `1 table`, `7 tables`, `1 index`, `2 indexes`.
#[must_use]
pub fn counted(number: usize, one: &str, many: &str) -> String {
    format!("{} {}", count(number as u64), if number == 1 { one } else { many })
}

/// A sentence from what stood in the middle of one.
#[must_use]
pub fn capital(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// A name as a line can show it: a terminal obeys control characters, and a source may have names with any.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_control() { char::REPLACEMENT_CHARACTER } else { letter })
        .collect()
}

/// `  subject: text`, a line, or several where the text has them.
#[must_use]
pub fn item(subject: &str, text: &str) -> String {
    let text: Vec<String> = text.split('\n').map(printable).collect();
    format!("  {}: {}\n", printable(subject), text.join("\n"))
}

/// A table, indented by two; the columns in `numbers` are aligned to the right.
#[must_use]
pub fn table<const N: usize>(
    heading: [&str; N],
    numbers: &[usize],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    let rows = rows.into_iter().map(|row| row.map(|cell| printable(&cell)));
    table.load_preset(presets::NOTHING).set_header(heading).add_rows(rows);
    for (at, column) in table.column_iter_mut().enumerate() {
        column.set_padding((if at == 0 { 2 } else { 0 }, 2));
        if numbers.contains(&at) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_sizes_have_a_unit() {
        assert_eq!(
            [count(0), count(999), count(1_000), count(12_345_678)],
            ["0", "999", "1,000", "12,345,678"]
        );
        assert_eq!(
            [bytes(812), bytes(4_210), bytes(999_960), bytes(1_070_000_000)],
            ["812 B", "4.2 kB", "1.0 MB", "1.1 GB"]
        );
    }

    #[test]
    fn a_duration_is_as_exact_as_it_is_short() {
        let of = |millis| duration(Duration::from_millis(millis));
        assert_eq!(
            [of(40), of(12_345), of(61_000), of(5_400_000)],
            ["0.04 s", "12.35 s", "1 min 01 s", "1 h 30 min"]
        );
    }

    #[test]
    fn a_table_has_no_frame_and_no_trailing_space() {
        let text = table(
            ["name", "rows"],
            &[1],
            [["a".to_owned(), "1".to_owned()], ["bcdef".to_owned(), "100".to_owned()]],
        );
        assert_eq!(text, "  name   rows\n  a         1\n  bcdef   100\n");
    }

    #[test]
    fn a_name_gives_no_orders_to_a_terminal_and_stays_on_its_line() {
        let text = table(["name"], &[], [["a\u{1b}[2Jb\nc".to_owned()]]);
        assert_eq!(text, "  name\n  a\u{fffd}[2Jb\u{fffd}c\n");
        assert_eq!(item("a\u{1b}\nb", "c\u{9b}\nd"), "  a\u{fffd}\u{fffd}b: c\u{fffd}\nd\n");
    }
}
