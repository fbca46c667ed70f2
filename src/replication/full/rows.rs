//! The rows of one table as a COPY stream, from either kind of source.

use std::path::PathBuf;
use std::sync::Arc;

use crate::adapters::postgres::archive::Archive;
use crate::adapters::postgres::catalog::CopyTable;
use crate::adapters::postgres::copy::{self, Copied};
use crate::adapters::postgres::tools::Tools;
use crate::adapters::postgres::{Session, ident};
use crate::error::{Error, ErrorKind, Result};

/// Reads tables one after the other.
#[derive(Debug)]
pub enum RowReader {
    /// A session that shares the source's snapshot.
    Live(Box<Session>),
    /// The archive, through pg_restore.
    Archive {
        /// pg_restore.
        tools: Tools,
        /// The archive.
        archive: Arc<Archive>,
        /// Where the list for pg_restore is written.
        work_dir: PathBuf,
    },
}

impl RowReader {
    /// Copies a table's rows into the open transaction of `target`, which has truncated the table.
    ///
    /// # Errors
    /// The read or the write fails: the transaction must not be committed.
    pub async fn copy(&mut self, table: &CopyTable, target: &mut Session) -> Result<Copied> {
        match self {
            Self::Live(session) => {
                let (copy_out, copy_in) = statements(table);
                copy::pipe(session, &copy_out, target, &copy_in).await
            }
            Self::Archive { tools, archive, work_dir } => {
                let Some(entry) = archive.table_data(&table.name()) else {
                    return Err(Error::new(
                        ErrorKind::Schema,
                        format!("the archive has no rows for {}", table.name()),
                    )
                    .hint("make the archive without --schema-only and --exclude-table-data"));
                };
                let columns = entry.copy_columns()?;
                let copy_in = copy_in(table, &columns, "text", archive.encoding_option());
                copy::archive_table(tools, archive, entry, work_dir, target, &copy_in).await
            }
        }
    }
}

/// The two COPY statements of a live table: binary where every value can travel so.
fn statements(table: &CopyTable) -> (String, String) {
    let format = if table.binary { "binary" } else { "text" };
    let copy_out =
        format!("copy {}{} to stdout (format {format})", ident::table(&table.name()), list(&table.columns));
    (copy_out, copy_in(table, &table.columns, format, None))
}

fn copy_in(table: &CopyTable, columns: &[String], format: &str, encoding: Option<String>) -> String {
    let encoding = encoding.map(|option| format!(", {option}")).unwrap_or_default();
    format!("copy {}{} from stdin (format {format}, freeze{encoding})", table.address(), list(columns))
}

/// A table without columns has no list.
fn list(columns: &[String]) -> String {
    if columns.is_empty() { String::new() } else { format!(" ({})", ident::columns(columns)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(binary: bool, columns: &[&str]) -> CopyTable {
        let columns = columns.iter().map(ToString::to_string).collect();
        CopyTable {
            oid: 1,
            schema_name: "public".into(),
            table_name: "Odd name".into(),
            binary,
            columns,
            has_generated: false,
            calls_functions: false,
            stored_as: None,
        }
    }

    #[test]
    fn columns_are_named_on_both_sides() {
        let (out, into) = statements(&table(true, &["id", "userId"]));
        assert_eq!(out, r#"copy "public"."Odd name" ("id", "userId") to stdout (format binary)"#);
        assert_eq!(into, r#"copy "public"."Odd name" ("id", "userId") from stdin (format binary, freeze)"#);
    }

    #[test]
    fn a_table_of_the_next_generation_is_written_where_it_is() {
        let table = CopyTable { stored_as: Some("public__next".into()), ..table(true, &["id"]) };
        let (out, into) = statements(&table);
        assert!(out.starts_with(r#"copy "public"."Odd name""#), "{out}");
        assert!(into.starts_with(r#"copy "public__next"."Odd name""#), "{into}");
    }

    #[test]
    fn a_table_without_columns_has_no_list() {
        assert_eq!(statements(&table(false, &[])).0, r#"copy "public"."Odd name" to stdout (format text)"#);
    }
}
