//! The provider's API: `SCALINGO_API_TOKEN`, `SCALINGO_APP`, `SCALINGO_REGION`, `SCALINGO_ADDON`; `SCALINGO_AUTH_URL`, `SCALINGO_API_URL`
//! and `SCALINGO_DB_URL`, as the provider's own command line knows them.

use url::Url;

use super::{Reader, Secret};

/// An application whose backups are read.
#[derive(Debug, Clone)]
pub struct Scalingo {
    /// The API token; there where `BACKUP_SOURCE` is scalingo.
    pub token: Option<Secret>,
    /// The application; there where `BACKUP_SOURCE` is scalingo.
    pub app: Option<String>,
    /// The addon's id; where unset, the one PostgreSQL of the application.
    pub addon: Option<String>,
    /// Where tokens are exchanged.
    pub auth_url: Url,
    /// The API of applications.
    pub api_url: Url,
    /// The API of databases.
    pub database_url: Url,
}

const REGION: &str = "osc-secnum-fr1";
const AUTH: &str = "https://auth.scalingo.com";

impl Scalingo {
    pub(super) fn read(reader: &mut Reader<'_>, is_needed: bool) -> Self {
        let region = reader.parse("SCALINGO_REGION", REGION.to_owned(), |text| {
            let is_name = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
            if is_name {
                Ok(text.to_owned())
            } else {
                Err(format!("{text:?} is not a region: write osc-fr1 or {REGION}"))
            }
        });
        let token = reader.text("SCALINGO_API_TOKEN").map(Secret::new);
        let app = reader.text("SCALINGO_APP").map(str::to_owned);
        if is_needed && token.is_none() {
            reader.problem("SCALINGO_API_TOKEN", "not set, but BACKUP_SOURCE is scalingo");
        }
        if is_needed && app.is_none() {
            reader.problem("SCALINGO_APP", "not set, but BACKUP_SOURCE is scalingo: name the application");
        }
        let mut url = |variable, default: &str| {
            // The defaults are URLs: a region is checked to be a plain name.
            let default = Url::parse(default).unwrap_or_else(|_| unreachable!());
            reader.parse(variable, default, |text| {
                Url::parse(text)
                    .ok()
                    .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
                    .ok_or_else(|| "not an http(s) URL".to_owned())
            })
        };
        let auth_url = url("SCALINGO_AUTH_URL", AUTH);
        let api_url = url("SCALINGO_API_URL", &format!("https://api.{region}.scalingo.com"));
        let database_url = url("SCALINGO_DB_URL", &format!("https://db-api.{region}.scalingo.com"));
        Self {
            token,
            app,
            addon: reader.text("SCALINGO_ADDON").map(str::to_owned),
            auth_url,
            api_url,
            database_url,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Variables;

    fn read(pairs: &[(&str, &str)]) -> Result<Scalingo, String> {
        let variables = Variables::from_pairs(pairs.iter().copied());
        let mut reader = Reader::new(&variables);
        let read = Scalingo::read(&mut reader, true);
        reader.finish().map(|()| read).map_err(|error| error.to_string())
    }

    #[test]
    fn the_region_names_the_hosts_and_each_can_be_named_by_itself() {
        let needed = [("SCALINGO_API_TOKEN", "tk-us-hush"), ("SCALINGO_APP", "app")];
        let scalingo = read(&needed).unwrap();
        assert_eq!(scalingo.api_url.as_str(), "https://api.osc-secnum-fr1.scalingo.com/");
        assert_eq!(scalingo.database_url.as_str(), "https://db-api.osc-secnum-fr1.scalingo.com/");
        let [token, app] = needed;
        let named =
            read(&[token, app, ("SCALINGO_REGION", "osc-fr1"), ("SCALINGO_AUTH_URL", "http://h:1")]).unwrap();
        assert_eq!(named.api_url.host_str(), Some("api.osc-fr1.scalingo.com"));
        assert_eq!(named.auth_url.as_str(), "http://h:1/");
        assert!(
            read(&[token, app, ("SCALINGO_REGION", "x/y")]).unwrap_err().starts_with("SCALINGO_REGION: ")
        );
    }

    #[test]
    fn the_token_and_the_application_are_needed() {
        let text = read(&[]).unwrap_err();
        assert!(
            text.contains("SCALINGO_API_TOKEN: not set") && text.contains("SCALINGO_APP: not set"),
            "{text}"
        );
    }
}
