//! `SOURCE_DATABASE_URL`, `TARGET_DATABASE_URL` and its older name `DATABASE_URL`.

use std::collections::BTreeMap;
use std::fmt;

use url::Url;

use super::backup::BackupSource;
use super::{Reader, nearest};

/// What may stand behind the question mark: what sqlx's `PgConnectOptions` reads (and `options[name]`), which has all
/// that goes to libpq.
const PARAMETERS: [&str; 22] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
    // libpq's own, which the driver does without: providers put them into the URLs that they hand out.
    "channel_binding",
    "connect_timeout",
    "gssencmode",
    "target_session_attrs",
];

/// A checked PostgreSQL URL. Prints without its password.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(Url);

impl DatabaseUrl {
    /// Checks a URL.
    ///
    /// # Errors
    /// What is wrong, in words that never quote the URL.
    pub fn parse(text: &str) -> Result<Self, String> {
        const FORM: &str = "write postgres://user:password@host:port/database";
        let url = Url::parse(text).map_err(|error| {
            format!("not a URL ({error}): {FORM}; a password with special characters must be percent-encoded")
        })?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(format!("the scheme is {:?}, not postgres: {FORM}", url.scheme()));
        }
        if url.path().trim_matches('/').is_empty() {
            return Err(format!("names no database: {FORM}"));
        }
        let url = Self(url);
        url.check_parameters()?;
        Ok(url)
    }

    /// The database library passes over what it does not know, and a slip in `sslmode` would weaken TLS unseen.
    fn check_parameters(&self) -> Result<(), String> {
        let known =
            |key: &str| PARAMETERS.contains(&key) || key.starts_with("options[") && key.ends_with(']');
        let Some((unknown, _)) = self.0.query_pairs().find(|(key, _)| !known(key)) else {
            return Ok(());
        };
        if self.query("password").is_some() {
            // It may be the rest of a password.
            return Err("has an unknown parameter: an & in a password must be percent-encoded".to_owned());
        }
        Err(match nearest(&unknown, PARAMETERS) {
            Some(near) => format!("has an unknown parameter {unknown:?}: did you mean {near:?}?"),
            None => format!("has an unknown parameter {unknown:?}: known are {}", PARAMETERS.join(", ")),
        })
    }

    /// The whole URL, password included. Never log it, never put it in an argument list.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.as_str()
    }

    /// The host, or the folder of the server's socket.
    #[must_use]
    pub fn host(&self) -> String {
        let from_query = self.query("host").or_else(|| self.query("hostaddr"));
        let host = self.0.host_str().map(decode).filter(|host| !host.is_empty());
        host.or(from_query).unwrap_or_else(|| "localhost".to_owned())
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.port().or_else(|| self.query("port")?.parse().ok()).unwrap_or(5432)
    }

    /// The database's name.
    #[must_use]
    pub fn database(&self) -> String {
        decode(self.0.path().trim_start_matches('/'))
    }

    /// The role.
    #[must_use]
    pub fn user(&self) -> String {
        let user = decode(self.0.username());
        if user.is_empty() { self.query("user").unwrap_or_else(|| "postgres".to_owned()) } else { user }
    }

    /// libpq's environment for a child process: the only way a password reaches pg_dump (PostgreSQL manual, 34.15).
    #[must_use]
    pub fn libpq_environment(&self) -> BTreeMap<&'static str, String> {
        let mut environment = BTreeMap::from([
            ("PGHOST", self.host()),
            ("PGPORT", self.port().to_string()),
            ("PGDATABASE", self.database()),
            ("PGUSER", self.user()),
        ]);
        let password = self.0.password().map(decode).or_else(|| self.query("password"));
        environment.extend(password.map(|password| ("PGPASSWORD", password)));
        // All spellings that sqlx knows: pg_dump must not connect with less than a session does.
        for (parameter, variable) in [
            ("sslmode", "PGSSLMODE"),
            ("ssl-mode", "PGSSLMODE"),
            ("sslrootcert", "PGSSLROOTCERT"),
            ("ssl-root-cert", "PGSSLROOTCERT"),
            ("ssl-ca", "PGSSLROOTCERT"),
            ("sslcert", "PGSSLCERT"),
            ("ssl-cert", "PGSSLCERT"),
            ("sslkey", "PGSSLKEY"),
            ("ssl-key", "PGSSLKEY"),
            ("options", "PGOPTIONS"),
        ] {
            environment.extend(self.query(parameter).map(|value| (variable, value)));
        }
        environment
    }

    fn query(&self, name: &str) -> Option<String> {
        self.0.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }
}

fn decode(text: &str) -> String {
    // `query_pairs` is the library's own percent-decoder; a plus sign is not a space outside a query.
    let pair = format!("v={}", text.replace('+', "%2B").replace('&', "%26"));
    url::form_urlencoded::parse(pair.as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}:{}/{}", self.user(), self.host(), self.port(), self.database())
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}

/// The two ends.
#[derive(Debug, Clone)]
pub struct Databases {
    /// The source database; absent where only archives are read and no table is incremental.
    pub source: Option<DatabaseUrl>,
    /// The warehouse.
    pub warehouse: DatabaseUrl,
}

impl Databases {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let source = read_url(reader, "SOURCE_DATABASE_URL");
        let live = matches!(
            BackupSource::parse(reader.text("BACKUP_SOURCE").unwrap_or("live")),
            Ok(BackupSource::Live)
        );
        if source.is_none() && live && reader.text("SOURCE_DATABASE_URL").is_none() {
            reader
                .problem("SOURCE_DATABASE_URL", "not set: write postgres://user:password@host:port/database");
        }
        let target = read_url(reader, "TARGET_DATABASE_URL");
        let older = read_url(reader, "DATABASE_URL");
        if let (Some(target), Some(older)) = (&target, &older)
            && target != older
        {
            reader.problem(
                "TARGET_DATABASE_URL",
                format!("differs from its older name DATABASE_URL ({target} and {older}): unset one of them"),
            );
        }
        if reader.text("TARGET_DATABASE_URL").is_none() && reader.text("DATABASE_URL").is_none() {
            reader
                .problem("TARGET_DATABASE_URL", "not set: write postgres://user:password@host:port/database");
        }
        let placeholder =
            || DatabaseUrl(Url::parse("postgres://unset/unset").unwrap_or_else(|_| unreachable!()));
        Self { source, warehouse: target.or(older).unwrap_or_else(placeholder) }
    }
}

pub(super) fn read_url(reader: &mut Reader<'_>, variable: &'static str) -> Option<DatabaseUrl> {
    reader.parse(variable, None, |text| DatabaseUrl::parse(text).map(Some))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Variables;

    fn read(pairs: &[(&str, &str)]) -> Result<Databases, String> {
        let variables = Variables::from_pairs(pairs.iter().copied());
        let mut reader = Reader::new(&variables);
        let databases = Databases::read(&mut reader);
        reader.finish().map(|()| databases).map_err(|error| error.to_string())
    }

    #[test]
    fn a_url_prints_without_its_password_and_gives_it_to_libpq_only() {
        let url =
            DatabaseUrl::parse("postgres://u%40x:p%2Fw%26+d@db.example:6543/ware%20house?sslmode=prefer")
                .unwrap();
        assert_eq!(
            format!("{url} {url:?}"),
            "u@x@db.example:6543/ware house DatabaseUrl(u@x@db.example:6543/ware house)"
        );
        let environment = url.libpq_environment();
        assert_eq!(environment["PGPASSWORD"], "p/w&+d");
        assert_eq!(environment["PGSSLMODE"], "prefer");
    }

    #[test]
    fn a_url_may_name_a_socket_folder() {
        let url = DatabaseUrl::parse("postgres:///app?host=/var/run/postgresql&user=me").unwrap();
        assert_eq!((url.host().as_str(), url.user().as_str()), ("/var/run/postgresql", "me"));
    }

    #[test]
    fn an_unknown_parameter_is_refused_with_the_nearest_known() {
        let problem =
            |query: &str| DatabaseUrl::parse(&format!("postgres://u:hush@h/d?{query}")).unwrap_err();
        assert_eq!(
            problem("sslmod=require"),
            "has an unknown parameter \"sslmod\": did you mean \"sslmode\"?"
        );
        assert!(problem("sslmode=require&colour=red").contains("\"colour\": known are sslmode, "));
        // Behind an ampersand that was not percent-encoded is the rest of the password.
        let text = problem("password=canary&rest");
        assert!(!text.contains("rest\"") && !text.contains("canary"), "{text}");
    }

    #[test]
    fn what_a_session_understands_is_known_and_tls_reaches_the_tools_too() {
        let all = "ssl-mode=verify-full&ssl-ca=ca&ssl-cert=c&ssl-key=k&options[role]=r&application_name=n\
                   &statement-cache-capacity=1&hostaddr=1.2.3.4&port=1&dbname=d&user=u&password=p&host=h&options=o";
        let url = DatabaseUrl::parse(&format!("postgres://h/d?{all}")).unwrap();
        let environment = url.libpq_environment();
        assert_eq!(environment["PGSSLMODE"], "verify-full");
        assert_eq!(environment["PGSSLROOTCERT"], "ca");
        assert_eq!((environment["PGSSLCERT"].as_str(), environment["PGSSLKEY"].as_str()), ("c", "k"));
    }

    #[test]
    fn an_older_name_is_read_and_a_contradiction_refused() {
        let source = ("SOURCE_DATABASE_URL", "postgres://s/app");
        assert_eq!(read(&[source, ("DATABASE_URL", "postgres://w/dw")]).unwrap().warehouse.host(), "w");
        let both = [source, ("DATABASE_URL", "postgres://w/dw"), ("TARGET_DATABASE_URL", "postgres://x/dw")];
        assert!(read(&both).unwrap_err().contains("older name DATABASE_URL"));
    }

    #[test]
    fn a_live_night_needs_a_source_and_an_archive_does_not() {
        let target = ("TARGET_DATABASE_URL", "postgres://w/dw");
        assert!(read(&[target]).unwrap_err().contains("SOURCE_DATABASE_URL: not set"));
        assert!(read(&[target, ("BACKUP_SOURCE", "/backups/x.dump")]).unwrap().source.is_none());
    }

    #[test]
    fn a_wrong_url_is_named_without_being_quoted() {
        let text =
            read(&[("SOURCE_DATABASE_URL", "mysql://u:hush@h/d"), ("DATABASE_URL", "postgres://u:hush@h/")])
                .unwrap_err();
        assert!(
            text.contains("not postgres") && text.contains("names no database") && !text.contains("hush"),
            "{text}"
        );
    }
}
