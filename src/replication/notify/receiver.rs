//! Those who are told, each with a name in the ledger that gives nothing away.

use sha2::{Digest, Sha256};

use crate::adapters::http::webhook::{Post, Webhooks};
use crate::adapters::mail::{self, Letter};
use crate::config::{Config, Endpoint, Mail, Secret};
use crate::error::Result;
use crate::ids::RunId;
use crate::notice::Event;

/// A mail server is asked again so often.
const MAIL_RETRIES: u32 = 2;

/// What they are told, written once.
pub(super) struct Message {
    pub(super) webhooks: Webhooks,
    /// The delivery id.
    pub(super) id: String,
    pub(super) event: Event,
    /// The JSON document.
    pub(super) body: String,
    /// The mail's.
    pub(super) subject: String,
    pub(super) text: String,
}

/// One who is told.
pub(super) enum Receiver<'a> {
    Endpoint(&'a Endpoint),
    /// One address of several.
    Mailbox(&'a Mail, &'a str),
}

/// All who asked for this event of this job.
pub(super) fn receivers<'a>(config: &'a Config, event: Event, job: &str) -> Vec<Receiver<'a>> {
    let notifications = &config.notifications;
    let endpoints = notifications.endpoints.iter().filter(|endpoint| endpoint.wants(event, job));
    let mail = notifications.mail.iter().filter(|mail| mail.wants(event, job));
    let mailboxes = mail.flat_map(|mail| mail.to.iter().map(move |to| Receiver::Mailbox(mail, to)));
    endpoints.map(Receiver::Endpoint).chain(mailboxes).collect()
}

impl Receiver<'_> {
    /// What logs call it.
    pub(super) fn host(&self) -> &str {
        match self {
            Self::Endpoint(endpoint) => endpoint.host(),
            Self::Mailbox(mail, _) => &mail.host,
        }
    }

    pub(super) fn retries(&self) -> u32 {
        match self {
            Self::Endpoint(endpoint) => endpoint.retries,
            Self::Mailbox(..) => MAIL_RETRIES,
        }
    }

    /// What tells it apart in the ledger: neither URL nor token can be read from it, and it is another in each run.
    pub(super) fn hash(&self, run: &RunId) -> String {
        let named = match self {
            Self::Endpoint(endpoint) => {
                let token = endpoint.token.as_ref().map_or("", Secret::expose);
                format!("{run}\n{}\n{token}", endpoint.url())
            }
            Self::Mailbox(_, to) => format!("{run}\nmailto:{to}"),
        };
        Sha256::digest(named).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Tells it once; gives the status of a webhook's answer.
    pub(super) async fn tell(&self, message: &Message) -> Result<Option<u16>> {
        match self {
            Self::Endpoint(endpoint) => {
                let post = Post { id: &message.id, body: &message.body };
                message.webhooks.post(endpoint, &post).await.map(Some)
            }
            Self::Mailbox(mail, to) => {
                let letter = Letter { id: &message.id, subject: &message.subject, text: &message.text };
                mail::send(mail, to, &letter).await.map(|()| None)
            }
        }
    }
}
