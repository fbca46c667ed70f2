//! A PgBouncer that hands out another server connection for each transaction.

use super::guarded::{Guarded, new_folder};
use super::{Cluster, TestDatabase};

/// A running pooler. Stopped and removed when dropped, or when the test process ends in whatever way.
#[derive(Debug)]
pub(crate) struct Pooler {
    server: Guarded,
}

impl Pooler {
    /// Starts one in front of this database, in transaction mode.
    pub(crate) fn before(cluster: &Cluster, database: &TestDatabase) -> Self {
        let folder = new_folder("pgbouncer");
        let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
        let users = format!("{} {}\n", quoted(&database.user()), quoted(&database.password()));
        let path = folder.display();
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n\n[pgbouncer]\npool_mode = transaction\n\
             listen_addr = 127.0.0.1\nunix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {path}/users.txt\n\
             pidfile = {path}/pgbouncer.pid\nlogfile = {path}/pgbouncer.log\nignore_startup_parameters = extra_float_digits\n",
            cluster.port()
        );
        std::fs::write(folder.join("users.txt"), users).unwrap();
        std::fs::write(folder.join("pgbouncer.ini"), settings).unwrap();
        Self { server: Guarded::start(include_str!("pgbouncer.sh"), folder, &[], &[]) }
    }

    /// The database as it is reached through it.
    pub(crate) fn leads_to(&self, database: &TestDatabase) -> TestDatabase {
        database.at_port(self.server.port)
    }
}
