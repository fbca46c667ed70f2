//! Text that may be put into a page: names of tables are whatever somebody once called them.

/// Text for the inside of an element or of a quoted attribute. Control characters, and those that turn the direction of what
/// follows them, are shown as a replacement character.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            _ if letter.is_control() || turns_direction(letter) => safe.push(char::REPLACEMENT_CHARACTER),
            _ => safe.push(letter),
        }
    }
    safe
}

fn turns_direction(letter: char) -> bool {
    matches!(letter, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The first letters of a text that is too long, and a sign that there are more.
pub(super) fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some(_) => text.chars().take(most.saturating_sub(1)).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_markup_and_no_turned_direction_gets_through() {
        assert_eq!(
            escaped("<b onload='x'>\"&\u{202e}\n"),
            "&lt;b onload=&#39;x&#39;&gt;&quot;&amp;\u{fffd}\u{fffd}"
        );
        assert_eq!(escaped("élèves-答え"), "élèves-答え");
    }

    #[test]
    fn a_long_text_ends_in_a_sign() {
        assert_eq!((shortened("élève", 5), shortened("élèves", 5)), ("élève".to_owned(), "élèv…".to_owned()));
    }
}
