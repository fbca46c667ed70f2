//! The provider's API: the backups of an application's PostgreSQL. What is asked and answered is at <https://developers.scalingo.com>.
//!
//! The account's API token is exchanged for a bearer token, and that one for a token of the database's addon. Both live for an hour, and so
//! may the link to a backup: each is asked for again when a server no longer takes it, also in the middle of a download.

mod addons;
mod answer;
mod file;
mod renewed;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::{Client, Method, StatusCode, header, redirect};
use serde::Deserialize;

pub use addons::Addon;
use answer::{Answer, Call};
pub use file::BackupFile;
use renewed::Renewed;

use super::{authorization, bearer, below, body_up_to, client, failed};
use crate::adapters::objects::{Backup, BackupState};
use crate::config::{ObjectUrl, Scalingo, Secret};
use crate::error::{Error, ErrorKind, Result};

const TIMEOUT: Duration = Duration::from_secs(30);

/// A list of backups may take this much memory, and no more.
const LONGEST_ANSWER: usize = 16 * 1024 * 1024;

/// The PostgreSQL of an application at the provider.
#[derive(Debug, Clone)]
pub struct Database {
    account: Arc<Account>,
    addon: Addon,
    token: Arc<Renewed<Secret>>,
}

impl Database {
    /// Finds the addon: that of `SCALINGO_ADDON`, or the application's one PostgreSQL.
    ///
    /// # Errors
    /// The API cannot be reached or refuses; no addon fits, or several do, which are then named.
    pub async fn open(config: &Scalingo) -> Result<Self> {
        let account = Account::new(config)?;
        let addon = addons::choose(account.addons().await?, config.addon.as_deref(), &account.app)?;
        Ok(Self { account: Arc::new(account), addon, token: Arc::default() })
    }

    /// The addon that was found.
    #[must_use]
    pub fn addon(&self) -> &Addon {
        &self.addon
    }

    /// Its backups, in the order in which the provider lists them.
    ///
    /// # Errors
    /// The API cannot be reached or refuses.
    pub async fn backups(&self) -> Result<Vec<Backup>> {
        #[derive(Deserialize)]
        struct Found {
            database_backups: Vec<FoundBackup>,
        }
        let doing = format!("cannot list the backups of the addon {}", self.addon.id);
        let found: Found = self.ask(&doing, &["backups"]).await?.json()?;
        Ok(found.database_backups.into_iter().map(FoundBackup::into_backup).collect())
    }

    /// The archive of a backup, a `.tar.gz`.
    #[must_use]
    pub fn file(&self, backup: &Backup) -> BackupFile {
        BackupFile::new(self.clone(), backup)
    }

    /// A new link to the archive of a backup.
    async fn link(&self, backup: &str, name: &str) -> Result<ObjectUrl> {
        #[derive(Deserialize)]
        struct Link {
            download_url: String,
        }
        let doing = format!("cannot get the download link of the backup {name}");
        let link: Link = self.ask(&doing, &["backups", backup, "archive"]).await?.json()?;
        ObjectUrl::parse(&link.download_url).map_err(|error| {
            Error::new(ErrorKind::Data, format!("{doing}: what it answered is {error}")).hint(answer::CHANGED)
        })
    }

    async fn ask(&self, doing: &str, path: &[&str]) -> Result<Answer> {
        let path: Vec<&str> = ["api", "databases", &self.addon.id].iter().chain(path).copied().collect();
        let call = Call {
            doing,
            method: Method::GET,
            url: below(&self.account.config.database_url, &path),
            if_missing: "the addon or the backup may have been removed since it was listed: run it again, and check SCALINGO_REGION",
        };
        let token = self.token.value(None, self.new_token()).await?;
        let answer = self.account.send(&call, Credentials::Bearer(&token)).await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        let token = self.token.value(Some(&token), self.new_token()).await?;
        self.account.send(&call, Credentials::Bearer(&token)).await
    }

    async fn new_token(&self) -> Result<Secret> {
        #[derive(Deserialize)]
        struct Given {
            addon: GivenToken,
        }
        let doing = format!("cannot get a token for the addon {}", self.addon.id);
        let given: Given =
            self.account.ask(&doing, Method::POST, &[&self.addon.id, "token"]).await?.json()?;
        Ok(Secret::new(given.addon.token))
    }
}

/// What the owner of the API token may do with an application.
#[derive(Debug)]
struct Account {
    client: Client,
    config: Scalingo,
    app: String,
    token: Secret,
    bearer: Renewed<Secret>,
}

/// What a request shows who asks. Neither is seen in a log of the client.
enum Credentials<'a> {
    /// The API token, as a password without a user.
    Basic(&'a Secret),
    Bearer(&'a Secret),
}

/// Both the authentication and the addons give their tokens under this name.
#[derive(Deserialize)]
struct GivenToken {
    token: String,
}

impl Account {
    fn new(config: &Scalingo) -> Result<Self> {
        let missing = |variable| {
            Error::new(ErrorKind::Configuration, format!("{variable} is not set"))
                .hint("name the application and an API token of the provider")
        };
        Ok(Self {
            // A redirect could take the tokens elsewhere.
            client: client(TIMEOUT, redirect::Policy::none())?,
            app: config.app.clone().ok_or_else(|| missing("SCALINGO_APP"))?,
            token: config.token.clone().ok_or_else(|| missing("SCALINGO_API_TOKEN"))?,
            config: config.clone(),
            bearer: Renewed::default(),
        })
    }

    async fn addons(&self) -> Result<Vec<Addon>> {
        #[derive(Deserialize)]
        struct Found {
            addons: Vec<Addon>,
        }
        let doing = format!("cannot list the addons of the application {}", self.app);
        let found: Found = self.ask(&doing, Method::GET, &[]).await?.json()?;
        Ok(found.addons)
    }

    /// Asks for something below the addons of the application.
    async fn ask(&self, doing: &str, method: Method, path: &[&str]) -> Result<Answer> {
        let path: Vec<&str> = ["v1", "apps", &self.app, "addons"].iter().chain(path).copied().collect();
        let call = Call {
            doing,
            method,
            url: below(&self.config.api_url, &path),
            if_missing: "check SCALINGO_APP and SCALINGO_REGION: the application must be in that region",
        };
        let token = self.bearer.value(None, self.exchange()).await?;
        let answer = self.send(&call, Credentials::Bearer(&token)).await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        let token = self.bearer.value(Some(&token), self.exchange()).await?;
        self.send(&call, Credentials::Bearer(&token)).await
    }

    async fn exchange(&self) -> Result<Secret> {
        let call = Call {
            doing: "cannot exchange the API token",
            method: Method::POST,
            url: below(&self.config.auth_url, &["v1", "tokens", "exchange"]),
            if_missing: "check SCALINGO_AUTH_URL",
        };
        let given: GivenToken = self.send(&call, Credentials::Basic(&self.token)).await?.json()?;
        Ok(Secret::new(given.token))
    }

    async fn send(&self, call: &Call<'_>, credentials: Credentials<'_>) -> Result<Answer> {
        let host = call.host();
        let broken = |error| failed(format!("{}: no whole answer from {host}", call.doing), error);
        let request = self
            .client
            .request(call.method.clone(), call.url.clone())
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/json");
        let (request, secret) = match credentials {
            Credentials::Basic(token) => (request.basic_auth("", Some(token.expose())), token),
            Credentials::Bearer(token) => {
                let value = authorization(&bearer(token), "the answer of the provider")?;
                (request.header(header::AUTHORIZATION, value), token)
            }
        };
        let mut response = request.send().await.map_err(broken)?;
        let Some(body) = body_up_to(&mut response, LONGEST_ANSWER).await.map_err(broken)? else {
            let text = format!("{}: the answer of {host} is longer than 16 MiB", call.doing);
            return Err(Error::new(ErrorKind::Data, text).hint(answer::CHANGED));
        };
        Ok(Answer::new(call, response.status(), body, secret.clone()))
    }
}

/// A backup as the provider describes it.
#[derive(Deserialize)]
struct FoundBackup {
    id: String,
    /// When it was asked for. It holds no older moment.
    created_at: DateTime<Utc>,
    name: Option<String>,
    size: Option<u64>,
    status: String,
}

impl FoundBackup {
    fn into_backup(self) -> Backup {
        let state = match self.status.as_str() {
            "done" => BackupState::Done,
            "error" => BackupState::Failed,
            "pending" | "scheduled" | "running" => BackupState::Pending,
            status => {
                tracing::debug!(backup = self.id, status, "a state that the provider does not document");
                BackupState::Pending
            }
        };
        Backup {
            name: self.name.unwrap_or_else(|| self.id.clone()),
            id: self.id,
            taken_at: self.created_at,
            // One that is being made has none, or 0.
            size: self.size.filter(|size| *size > 0),
            state,
        }
    }
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    fn backup(status: &str, size: &str) -> Backup {
        let text = format!(
            r#"{{"id": "5b8b", "created_at": "2018-09-02T03:00:00.178+02:00", "started_at": null,
                 "name": "20180902010000_db", "size": {size}, "status": "{status}", "method": "periodic"}}"#
        );
        serde_json::from_str::<FoundBackup>(&text).unwrap().into_backup()
    }

    #[test]
    fn every_documented_state_is_known_and_another_one_is_waited_for() {
        assert_eq!(backup("done", "17").state, BackupState::Done);
        assert_eq!(backup("error", "0").state, BackupState::Failed);
        for status in ["pending", "scheduled", "running", "uploading"] {
            assert_eq!(backup(status, "null").state, BackupState::Pending, "{status}");
        }
    }

    #[test]
    fn a_backup_has_its_moment_in_utc_and_no_size_while_it_is_made() {
        let done = backup("done", "17484513608");
        assert_eq!(done.taken_at.to_rfc3339(), "2018-09-02T01:00:00.178+00:00");
        assert_eq!((done.name.as_str(), done.size), ("20180902010000_db", Some(17_484_513_608)));
        assert_eq!((backup("pending", "0").size, backup("scheduled", "null").size), (None, None));
    }

    #[test]
    fn a_name_is_one_segment_of_a_path() {
        let base = Url::parse("https://api.example/").unwrap();
        assert_eq!(
            below(&base, &["v1", "apps", "a/../b?c", "addons"]).as_str(),
            "https://api.example/v1/apps/a%2F..%2Fb%3Fc/addons"
        );
    }
}
