//! What tests of nights that read a backup share.

use std::path::PathBuf;

use nightferry::error::Error;
use nightferry::ids::Stage;

use super::TestNight;

/// An enrichment that fails once all is loaded.
pub(crate) const BROKEN: &str = "-- needs: users\ncreate table broken as select 1 / 0;";

/// A dump of the source.
pub(crate) fn dump(night: &TestNight) -> Vec<u8> {
    std::fs::read(night.archive("custom")).unwrap()
}

/// The folders of downloads that are there.
pub(crate) fn left(night: &TestNight) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(night.path("")).unwrap().map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("nightferry-backup-"))
        .collect()
}

/// The error of a night that fails.
pub(crate) async fn refused(night: &TestNight, extra: &[(&str, &str)]) -> Error {
    night.try_run(Stage::FullReplication, extra).await.unwrap_err()
}

/// Nothing was made in the warehouse, the ledger apart.
pub(crate) async fn assert_untouched(night: &TestNight) {
    let sql = "select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace
               where n.nspname not in ('nightferry', 'pg_catalog', 'information_schema', 'pg_toast')";
    assert_eq!(night.warehouse.one(sql).await, "0");
}

/// A table `big` in the source, of so many rows of 4 kB that no compression makes small.
pub(crate) async fn add_noise(night: &TestNight, rows: usize) {
    night
        .source_sql(&format!(
            "create table big (id int primary key, noise bytea);
             insert into big select n, decode(string_agg(md5(random()::text), ''), 'hex')
               from generate_series(1, {rows}) n, generate_series(1, 250) m group by n"
        ))
        .await;
}
