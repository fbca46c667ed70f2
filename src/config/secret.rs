//! A value that must not be seen.

use std::fmt;

/// Prints as `***`; the value is only had by asking for it.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself. Never log it, never put it in an argument list.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A text as it may leave the house: a URL in it has lost its user and password. What is told was written without secrets; this is for a
/// word of a server or a library that quotes more than it should.
#[must_use]
pub(crate) fn without_credentials(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + "://".len());
        let authority =
            after.find(|c: char| c.is_whitespace() || "/?#\"'<>".contains(c)).unwrap_or(after.len());
        shown.push_str(before);
        let kept = after[..authority].rfind('@').map_or(after, |at| {
            shown.push_str("***");
            &after[at..]
        });
        rest = kept;
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_loses_its_credentials_and_nothing_else() {
        for (text, shown) in [
            ("cannot open postgres://me:hush@h:5432/db?x=1", "cannot open postgres://***@h:5432/db?x=1"),
            ("'redis://:h@sh@h' and \"https://k@i/p@q\"", "'redis://***@h' and \"https://***@i/p@q\""),
            ("https://h/a@b, mail a@b.example", "https://h/a@b, mail a@b.example"),
            ("no url: //a@b :// x", "no url: //a@b :// x"),
        ] {
            assert_eq!(without_credentials(text), shown);
        }
    }
}
