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

/// Whether nobody sees a letter where it stands: it gives an order to a terminal, turns the text around it (UAX #9), breaks the line, or
/// has no width, so that two names look alike. A source may have names with any; nothing that people read may show one as it is.
#[must_use]
pub fn is_hidden(letter: char) -> bool {
    letter.is_control()
        || matches!(
            letter,
            '\u{2028}' | '\u{2029}' | '\u{fff9}'..='\u{fffb}'
            // Default_Ignorable_Code_Point (Unicode 16, DerivedCoreProperties.txt): those that turn the text are among them.
            | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
        )
}

/// All of them, for the tests of whatever shows names to people.
#[cfg(test)]
pub(crate) fn hidden_letters() -> String {
    ('\0'..=char::MAX).filter(|letter| is_hidden(*letter)).collect()
}

/// A name as a line can show it.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars().map(|letter| if is_hidden(letter) { char::REPLACEMENT_CHARACTER } else { letter }).collect()
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

    #[test]
    fn letters_are_seen_and_what_has_no_width_or_turns_the_text_is_not() {
        assert!(!"élèves e\u{301} שלום سلام 日本 한글 हिन्दी 👩 \u{a0}\u{600}\u{fffd}".contains(is_hidden));
        for hidden in [
            '\0',
            '\t',
            '\n',
            '\u{7f}',
            '\u{85}',
            '\u{9b}',
            '\u{ad}',
            '\u{61c}',
            '\u{180e}',
            '\u{200b}',
            '\u{200d}',
            '\u{200f}',
            '\u{2028}',
            '\u{202e}',
            '\u{2060}',
            '\u{2066}',
            '\u{2069}',
            '\u{3164}',
            '\u{fe0f}',
            '\u{feff}',
            '\u{e0041}',
        ] {
            assert!(is_hidden(hidden), "{hidden:?}");
        }
    }

    #[test]
    fn no_hidden_letter_gets_into_a_line() {
        let name = format!("a{}b", hidden_letters());
        assert!(!printable(&name).contains(is_hidden));
        let lines = [item(&name, &name), table(["name"], &[], [[name]])].concat();
        for line in lines.split('\n') {
            assert!(!line.contains(is_hidden), "{line:?}");
        }
    }
}
