//! A physical standby of a throw-away cluster.

use super::guarded::{Guarded, new_folder};
use super::{Cluster, TestDatabase, until};

/// A running standby. Stopped and removed when dropped, or when the test process ends in whatever way.
#[derive(Debug)]
pub(crate) struct Standby {
    server: Guarded,
}

impl Standby {
    /// Makes one. It has everything that the cluster has by then, and follows it.
    pub(crate) fn of(primary: &Cluster) -> Self {
        let port = primary.port().to_string();
        let environment = [
            ("CLUSTER_PASSWORD", Cluster::superuser_password()),
            ("PG_BIN_DIR", primary.tools().to_str().unwrap()),
            ("PRIMARY_PORT", port.as_str()),
        ];
        Self { server: Guarded::start(include_str!("standby.sh"), new_folder("standby"), &[], &environment) }
    }

    /// A database of the primary as the standby has it.
    pub(crate) fn sees(&self, database: &TestDatabase) -> TestDatabase {
        database.at_port(self.server.port)
    }

    /// Comes back when it has everything that is committed at the primary now.
    pub(crate) async fn catches_up(&self, primary: &TestDatabase) {
        let position = primary.one("select pg_current_wal_lsn()").await;
        let replayed = format!("select pg_last_wal_replay_lsn() >= '{position}'");
        let here = self.sees(primary);
        until("the standby to catch up", async || (here.one(&replayed).await == "t").then_some(())).await;
    }
}
