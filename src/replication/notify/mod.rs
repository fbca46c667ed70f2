//! Everybody who asked is told what became of a run, once, whatever becomes of the others: endpoints by a webhook, people by mail.
//!
//! [`run`] is the last stage of the night. [`tell`] tells of any event, of a night or of a job beside it.

mod account;
mod letter;
mod receiver;

use std::collections::HashSet;
use std::future::Future;
use std::time::Duration;

use futures::future::join_all;

use super::several::one_error;
use crate::adapters::http::webhook::Webhooks;
use crate::adapters::ledger::{Ledger, Recorder, RunAccount, in_time};
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::events;
use crate::ids::RunId;
use crate::notice::{Event, Notice};
use account::Account;
use receiver::{Message, Receiver, receivers};

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The warehouse is asked for no longer: that it is away may be what is to be told.
const LEDGER_LIMIT: Duration = Duration::from_secs(10);

/// Whether anybody asked to be told of this, of whichever job. Who hears of which one is [`tell`]'s to know.
#[must_use]
pub fn is_wanted(config: &Config, event: Event) -> bool {
    let notifications = &config.notifications;
    notifications.endpoints.iter().any(|endpoint| endpoint.events.contains(&event))
        || notifications.mail.iter().any(|mail| mail.events.contains(&event))
}

/// The stage: tells everybody who was not told that the night ended well.
///
/// # Errors
/// Some could not be told: their hosts are named. Running the stage again tells only those.
pub async fn run(config: &Config, recorder: &Recorder) -> Result<()> {
    if !is_wanted(config, Event::Succeeded) {
        tracing::info!("nobody asked in NOTIFICATIONS or MAIL_EVENTS to be told of a night that succeeded");
        return Ok(());
    }
    let run = recorder.run();
    let of = run.to_string();
    let notice = Notice { event: Event::Succeeded, of, stage: None, trouble: None, told: Vec::new() };
    let telling = async { tell(config, run, &notice, Some(recorder.ledger())).await.1 };
    recorder.step("notify", telling).await
}

/// Tells everybody who asked for this event and was not told yet, all at the same time. Gives back who was told so far, with those that the
/// notice and the ledger name: put them into the notice before it is told again. What the ledger cannot say is left out.
///
/// # Errors
/// Some could not be told: their hosts are named.
pub async fn tell(
    config: &Config,
    run: &RunId,
    notice: &Notice,
    ledger: Option<&Ledger>,
) -> (Vec<String>, Result<()>) {
    let delivery_id = delivery_id(notice);
    let mut told: HashSet<String> = notice.told.iter().cloned().collect();
    if let Some(ledger) = ledger {
        told.extend(ask("who was told", ledger.deliveries(&delivery_id)).await.unwrap_or_default());
    }
    let all = receivers(config, notice.event, account::job(run));
    let untold: Vec<(String, &Receiver<'_>)> = all
        .iter()
        .map(|receiver| (receiver.hash(run), receiver))
        .filter(|(hash, _)| !told.contains(hash))
        .collect();
    if untold.is_empty() {
        return (sorted(told), Ok(()));
    }
    let message = match write(run, notice, &delivery_id, account(ledger, run).await) {
        Ok(message) => message,
        Err(error) => return (sorted(told), Err(error)),
    };
    let message = &message;
    let results = join_all(untold.iter().map(|(hash, receiver)| async move {
        insist(receiver, message).await?;
        if let Some(ledger) = ledger {
            // Who was told is known to the caller too: that it is not written down is no reason to tell again.
            ask("that somebody was told", ledger.record_delivery(run, &message.id, hash)).await;
        }
        Ok(())
    }));
    let mut failures = Vec::new();
    for ((hash, _), result) in untold.iter().zip(results.await) {
        match result {
            Ok(()) => {
                told.insert(hash.clone());
            }
            Err(error) => failures.push(error),
        }
    }
    let result = one_error(failures, |count| format!("{count} of {} endpoints were not told", all.len()));
    (sorted(told), result)
}

/// The event's name outside: a full stop separates what a webhook signs.
fn delivery_id(notice: &Notice) -> String {
    notice.id().replace('.', "_")
}

fn sorted(told: HashSet<String>) -> Vec<String> {
    let mut told: Vec<String> = told.into_iter().collect();
    told.sort_unstable();
    told
}

async fn account(ledger: Option<&Ledger>, run: &RunId) -> Option<RunAccount> {
    ask("what became of the run", ledger?.account_of(run)).await.flatten()
}

/// What the ledger answers; nothing where it does not.
async fn ask<T>(what: &str, question: impl Future<Output = Result<T>>) -> Option<T> {
    let error = match in_time(LEDGER_LIMIT, question).await {
        Ok(answer) => return Some(answer),
        Err(error) => error,
    };
    tracing::warn!(
        error.kind = error.kind().name(),
        error.message = %error,
        "the ledger could not be asked, or told, {what}"
    );
    None
}

fn write(run: &RunId, notice: &Notice, id: &str, known: Option<RunAccount>) -> Result<Message> {
    let account = Account::new(run, notice, id, known);
    let body = serde_json::to_string(&account)
        .map_err(|error| Error::new(ErrorKind::Internal, "cannot write a notification").because(error))?;
    let webhooks = Webhooks::new()?;
    let (subject, text) = (letter::subject(&account), letter::text(&account));
    Ok(Message { webhooks, id: id.to_owned(), event: notice.event, body, subject, text })
}

/// Tells one, again where that may help.
async fn insist(receiver: &Receiver<'_>, message: &Message) -> Result<()> {
    let (host, event) = (receiver.host(), message.event.name());
    let mut attempt = 1;
    loop {
        let error = match receiver.tell(message).await {
            Ok(status) => {
                tracing::info!(host, event, status, "{}", events::NOTIFICATION_SENT);
                return Ok(());
            }
            Err(error) => error,
        };
        tracing::warn!(
            host,
            event,
            attempt,
            error.kind = error.kind().name(),
            error.message = %error,
            "{}",
            events::NOTIFICATION_FAILED
        );
        if attempt > receiver.retries() || !error.kind().is_retryable() {
            return Err(error);
        }
        tokio::time::sleep(pause(attempt)).await;
        attempt += 1;
    }
}

/// Twice as long each time, and a little more or less, so that many senders do not come back at the same moment.
fn pause(attempt: u32) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(attempt - 1)).min(LONGEST_PAUSE);
    doubled + Duration::from_millis(fastrand::u64(0..250))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_limit() {
        assert!(pause(1) < pause(2) && pause(2) < Duration::from_secs(2));
        assert!(pause(21) < Duration::from_secs(31));
    }

    #[test]
    fn a_delivery_id_has_no_full_stop_and_is_the_events_own() {
        let of = "20261120T041000Z.full-replication.1".to_owned();
        let notice = Notice { event: Event::Failed, of, stage: None, trouble: None, told: Vec::new() };
        assert_eq!(delivery_id(&notice), "20261120T041000Z_full-replication_1_failed");
    }
}
