//! Text that may be put into a page: names of tables are whatever somebody once called them.

use crate::format::is_hidden;

/// Text for the inside of an element or of a quoted attribute. What nobody would see is shown as a replacement character.
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
            _ if is_hidden(letter) => safe.push(char::REPLACEMENT_CHARACTER),
            _ => safe.push(letter),
        }
    }
    safe
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
    use super::super::tests::{at, item, timeline};
    use super::super::{Band, Timeline, svg};
    use super::*;
    use crate::format;

    #[test]
    fn no_markup_and_no_turned_direction_gets_through() {
        assert_eq!(
            escaped("<b onload='x'>\"&\u{202e}\n"),
            "&lt;b onload=&#39;x&#39;&gt;&quot;&amp;\u{fffd}\u{fffd}"
        );
        assert_eq!(escaped("élèves-答え"), "élèves-答え");
    }

    #[test]
    fn no_hidden_letter_gets_into_a_page_or_its_picture() {
        let name = format!("a{}b", format::hidden_letters());
        assert!(!escaped(&name).contains(is_hidden));
        // In pieces: the picture shows the beginning of a long name.
        for part in name.chars().collect::<Vec<_>>().chunks(20).map(String::from_iter) {
            let mut item = item(0, 9);
            (item.label, item.lane, item.detail) = (part.clone(), Some(part.clone()), part.clone());
            let band = Band { label: part, start: at(0), end: None, failed: true };
            let picture = Timeline { bands: vec![band], ..timeline(vec![item]) };
            assert!(!svg(&picture).contains(is_hidden));
        }
    }

    #[test]
    fn a_long_text_ends_in_a_sign() {
        assert_eq!((shortened("élève", 5), shortened("élèves", 5)), ("élève".to_owned(), "élèv…".to_owned()));
    }
}
