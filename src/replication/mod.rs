//! Stand-in: the engine's branch has the real one.
#![allow(missing_docs, clippy::unused_async, clippy::missing_errors_doc, reason = "stand-in")]

pub mod adoption {
    use crate::adapters::ledger::Disposition;
    use crate::config::Config;
    use crate::error::Result;
    use crate::ids::TableName;

    pub async fn list(_: &Config) -> Result<Vec<(TableName, Disposition)>> {
        Ok(Vec::new())
    }

    pub async fn accept(_: &Config, _: &[String]) -> Result<Vec<(TableName, Disposition)>> {
        Ok(Vec::new())
    }
}

pub mod preflight {
    use serde::Serialize;

    use crate::config::Config;
    use crate::error::Result;
    use crate::ids::TableName;
    use crate::outcome::Skipped;

    #[derive(Debug, Clone, Serialize)]
    pub struct Finding {
        pub subject: String,
        pub text: String,
        pub hint: Option<String>,
    }

    #[derive(Debug, Clone, Serialize)]
    pub struct PlannedTable {
        pub table: TableName,
        pub treatment: &'static str,
        pub rows_estimate: Option<i64>,
        pub bytes_estimate: Option<i64>,
        pub reason: String,
    }

    #[derive(Debug, Clone, Default, Serialize)]
    pub struct Inspection {
        pub problems: Vec<Finding>,
        pub notes: Vec<Finding>,
        pub tables: Vec<PlannedTable>,
        pub would_drop: Vec<String>,
        pub left_out: Vec<Skipped>,
    }

    pub async fn inspect(config: &Config) -> Result<Inspection> {
        crate::adapters::postgres::Database::new(&config.databases.warehouse, "warehouse")?.connect().await?;
        Ok(Inspection::default())
    }
}
