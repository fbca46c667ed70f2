//! The folder of enrichment files: which there are, and in which order they are run.

use std::path::Path;

use super::header::{self, Header};
use crate::error::{Error, ErrorKind, Result};

/// An enrichment file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    /// The number that its name begins with; files of the same number are independent of each other.
    pub(super) number: u32,
    /// Its name.
    pub(super) name: String,
    /// Its text.
    pub(super) sql: String,
    /// What its header says.
    pub(super) header: Header,
}

/// Reads the `NN_name.sql` files of a folder, in order.
///
/// # Errors
/// The folder is not there, an `.sql` file has no number, or a header cannot be understood: all such files are named.
pub(super) async fn read(folder: &Path, schema: &str) -> Result<Vec<File>> {
    let unreadable = |error: std::io::Error| {
        Error::new(
            ErrorKind::Configuration,
            format!("cannot read the enrichment folder {}", folder.display()),
        )
        .hint("set ENRICHMENT_DIR to the folder of enrichment files, an empty one where there are none")
        .because(error)
    };
    let mut files = Vec::new();
    let mut problems = Vec::new();
    let mut entries = tokio::fs::read_dir(folder).await.map_err(unreadable)?;
    while let Some(entry) = entries.next_entry().await.map_err(unreadable)? {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.ends_with(".sql") {
            continue;
        }
        let sql = tokio::fs::read_to_string(entry.path()).await.map_err(unreadable)?;
        match file(&name, sql, schema) {
            Ok(file) => files.push(file),
            Err(problem) => problems.push(format!("{name}: {problem}")),
        }
    }
    if problems.is_empty() {
        files.sort_by(|left, right| (left.number, &left.name).cmp(&(right.number, &right.name)));
        return Ok(files);
    }
    problems.sort();
    let text = format!("enrichment files that cannot be understood: {}", problems.join("; "));
    Err(Error::new(ErrorKind::Configuration, text)
        .hint("name each file like 10_name.sql, and begin it with a line such as -- needs: users, answers"))
}

fn file(name: &str, sql: String, schema: &str) -> Result<File, String> {
    let number = name.split_once('_').and_then(|(number, _)| number.parse().ok());
    let number = number.ok_or("its name does not begin with a number: write 10_name.sql")?;
    let header = header::parse(&sql, schema)?;
    Ok(File { number, name: name.to_owned(), sql, header })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn names_in(files: &[(&str, &str)]) -> Result<Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        Ok(read(folder.path(), "public").await?.into_iter().map(|file| file.name).collect())
    }

    #[tokio::test]
    async fn files_come_in_the_order_of_their_numbers() {
        let files = [
            ("100_c.sql", "-- needs:"),
            ("20_b.sql", "-- needs:"),
            ("20_a.sql", "-- needs:"),
            ("README.md", ""),
        ];
        assert_eq!(names_in(&files).await.unwrap(), ["20_a.sql", "20_b.sql", "100_c.sql"]);
    }

    #[tokio::test]
    async fn all_files_that_cannot_be_understood_are_named_at_once() {
        let error = names_in(&[("a.sql", "-- needs:"), ("10_b.sql", "select 1")]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.to_string().contains("10_b.sql: ") && error.to_string().contains("a.sql: "), "{error}");
    }

    #[tokio::test]
    async fn a_folder_that_is_not_there_names_its_variable() {
        let error = read(Path::new("/nowhere/enrichment"), "public").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.operator_hint().unwrap().contains("ENRICHMENT_DIR"));
    }
}
