//! Rows that we made ourselves, written by COPY: the text format (PostgreSQL manual, COPY, "Text Format") and the
//! literals of arrays within it (8.15.2).

use super::{Session, failed};
use crate::error::Result;

/// One value of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// No value.
    Null,
    /// A value of a scalar column, in its text form.
    Scalar(String),
    /// A one-dimensional array of text, element by element.
    List(Vec<Option<String>>),
}

/// Rows in COPY's text format.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows {
    data: Vec<u8>,
    count: u64,
}

impl Rows {
    /// Adds a row.
    pub fn push(&mut self, cells: &[Cell]) {
        for (at, cell) in cells.iter().enumerate() {
            if at > 0 {
                self.data.push(b'\t');
            }
            match cell {
                Cell::Null => self.data.extend_from_slice(b"\\N"),
                Cell::Scalar(text) => escape(text, &mut self.data),
                Cell::List(elements) => escape(&array(elements), &mut self.data),
            }
        }
        self.data.push(b'\n');
        self.count += 1;
    }

    /// How many rows.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How many bytes they take.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.data.len() as u64
    }
}

fn escape(text: &str, data: &mut Vec<u8>) {
    for byte in text.bytes() {
        match byte {
            b'\\' => data.extend_from_slice(b"\\\\"),
            b'\t' => data.extend_from_slice(b"\\t"),
            b'\n' => data.extend_from_slice(b"\\n"),
            b'\r' => data.extend_from_slice(b"\\r"),
            _ => data.push(byte),
        }
    }
}

/// The literal of an array. Every element is quoted: an empty one, `NULL` and one with commas or braces are then text.
fn array(elements: &[Option<String>]) -> String {
    let element = |element: &Option<String>| match element {
        None => "NULL".to_owned(),
        Some(text) => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
    };
    format!("{{{}}}", elements.iter().map(element).collect::<Vec<_>>().join(","))
}

/// Runs `copy_in` (`COPY ... FROM STDIN`) with these rows and says how many the server took.
///
/// # Errors
/// The server refuses them; nothing of them is written, and the session must be closed.
pub async fn copy_rows(session: &mut Session, copy_in: &str, rows: &Rows) -> Result<u64> {
    let doing = || super::session::summary(copy_in);
    let mut copy = session.raw().copy_in_raw(copy_in).await.map_err(|error| failed(doing(), error))?;
    for piece in rows.data.chunks(64 * 1024) {
        copy.send(piece).await.map_err(|error| failed(doing(), error))?;
    }
    copy.finish().await.map_err(|error| failed(doing(), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(cells: &[Cell]) -> String {
        let mut rows = Rows::default();
        rows.push(cells);
        String::from_utf8(rows.data).unwrap()
    }

    #[test]
    fn text_keeps_tabs_newlines_and_backslashes() {
        let cells = [Cell::Scalar("a\tb\nc\\N\rd".into()), Cell::Null, Cell::Scalar(String::new())];
        assert_eq!(written(&cells), "a\\tb\\nc\\\\N\\rd\t\\N\t\n");
    }

    #[test]
    fn list_elements_keep_commas_quotes_braces_and_emptiness() {
        let elements = [Some("a,b"), Some("{c}"), Some("d\"e\\"), Some(""), Some("NULL"), None];
        let list = Cell::List(elements.iter().map(|element| element.map(str::to_owned)).collect());
        assert_eq!(written(&[list]), "{\"a,b\",\"{c}\",\"d\\\\\"e\\\\\\\\\",\"\",\"NULL\",NULL}\n");
        assert_eq!(written(&[Cell::List(Vec::new())]), "{}\n");
    }
}
