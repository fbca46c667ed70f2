//! What belongs to others and goes with the dropped objects: views and functions that lean on them, and grants. It is read
//! before the drop and made again as soon as the new objects are there; what needs a key, or an object that follows the
//! rows, is tried again at the end.

use super::footprint::Footprint;
use crate::adapters::ledger::Recorder;
use crate::adapters::postgres::Session;
use crate::adapters::postgres::catalog::{self, Object, Recreation};
use crate::error::{Error, ErrorKind, Result};
use crate::outcome::Skipped;

/// What has to come back.
#[derive(Debug, Default)]
pub struct Leaving {
    views: Vec<(Object, Recreation)>,
    grants: Vec<String>,
    refresh: Vec<String>,
    lost: Vec<Skipped>,
}

pub(super) const LOST: &str = "it leaned on a replaced object and its kind cannot be made again";

impl Leaving {
    /// Reads what will go.
    pub(super) async fn read(session: &mut Session, footprint: &Footprint) -> Result<Self> {
        let relations: Vec<i64> =
            footprint.dropped.iter().filter(|object| object.is_relation()).map(|object| object.oid).collect();
        let recreations = catalog::recreations_of(session, &footprint.rebuilt).await?;
        let recreation = |object: &Object| {
            recreations
                .iter()
                .find(|again| again.id() == object.id())
                .map(|again| (object.clone(), again.clone()))
        };
        let mut lost: Vec<Skipped> =
            footprint.lost.iter().map(|object| skipped(object, LOST, None)).collect();
        lost.extend(footprint.cut_foreign_keys.iter().map(|(kept, replaced)| Skipped {
            object: format!("foreign key of {}", kept.label()),
            reason: format!(
                "{} is replaced, and rows of an increment may refer to rows younger than its copy",
                replaced.label()
            ),
            definition: None,
        }));
        Ok(Self {
            views: footprint.rebuilt.iter().filter_map(recreation).collect(),
            grants: catalog::grants(session, &relations).await?,
            refresh: Vec::new(),
            lost,
        })
    }

    /// Names what goes for good.
    pub(super) async fn name_what_is_lost(&self, recorder: &Recorder) -> Result<()> {
        for skipped in &self.lost {
            recorder.skipped(skipped.clone()).await?;
        }
        Ok(())
    }

    /// Makes what can be made now, inside the open transaction; gives what is still left.
    pub(super) async fn come_back(self, session: &mut Session) -> Result<Self> {
        let mut left = Self::default();
        for (object, again) in self.views {
            match make(session, &again).await? {
                Ok(()) if again.is_populated => left.refresh.push(object.identity),
                Ok(()) => {}
                Err(error) => {
                    // The log has the definition too, should the night break off before the end.
                    tracing::info!(object = %object.label(), definition = again.definition, error.message = %error, "comes back later");
                    left.views.push((object, again));
                }
            }
        }
        for grant in self.grants {
            if attempt(session, &grant).await?.is_err() {
                left.grants.push(grant);
            }
        }
        Ok(left)
    }

    /// The last try; what cannot come back is named, with its definition.
    pub(super) async fn come_back_at_last(
        &self,
        session: &mut Session,
        recorder: &Recorder,
    ) -> Result<Vec<String>> {
        let mut refresh = self.refresh.clone();
        for (object, again) in &self.views {
            match make(session, again).await? {
                Ok(()) if again.is_populated => refresh.push(object.identity.clone()),
                Ok(()) => {}
                Err(error) => {
                    let reason = match &again.definition {
                        Some(_) => format!("it leans on a replaced object and cannot come back: {error}"),
                        None => LOST.to_owned(),
                    };
                    recorder.skipped(skipped(object, &reason, again.definition.clone())).await?;
                }
            }
        }
        for grant in &self.grants {
            // The object may be gone from the source, or the role from the server.
            if let Err(error) = attempt(session, grant).await? {
                let (object, reason) = ("grant".to_owned(), error.to_string());
                recorder.skipped(Skipped { object, reason, definition: Some(grant.clone()) }).await?;
            }
        }
        Ok(refresh)
    }
}

/// Makes an object with all that belongs to it, or nothing of it.
pub(super) async fn make(session: &mut Session, again: &Recreation) -> Result<Result<()>> {
    match script(again) {
        Some(script) => attempt(session, &script).await,
        None => Ok(Err(Error::new(ErrorKind::Schema, LOST))),
    }
}

/// The statements that make an object with all that belongs to it; none for kinds that cannot be made again.
pub(super) fn script(again: &Recreation) -> Option<String> {
    let definition = again.definition.as_ref()?;
    let statements = std::iter::once(definition).chain(&again.statements);
    Some(statements.map(|text| text.trim_end_matches(';')).collect::<Vec<_>>().join(";\n"))
}

pub(super) fn skipped(object: &Object, reason: &str, definition: Option<String>) -> Skipped {
    Skipped { object: object.label(), reason: reason.to_owned(), definition }
}

/// Runs a statement that may fail, without ending the transaction.
pub(in crate::replication) async fn attempt(session: &mut Session, statement: &str) -> Result<Result<()>> {
    match session.execute(&format!("savepoint attempt;\n{statement}\n;release savepoint attempt")).await {
        Ok(()) => Ok(Ok(())),
        Err(error) if error.kind() == ErrorKind::Connection => Err(error),
        Err(error) => {
            session.execute("rollback to savepoint attempt").await?;
            Ok(Err(error))
        }
    }
}

/// As [`attempt`], but a lock that cannot be had is no fault of the statement.
pub(super) async fn attempt_or_wait(session: &mut Session, statement: &str) -> Result<Result<()>> {
    unless_locked(attempt(session, statement).await?)
}

/// Makes a lock that could not be had the whole transaction's error: it is tried again.
pub(super) fn unless_locked(tried: Result<()>) -> Result<Result<()>> {
    match tried {
        Err(error) if error.kind() == ErrorKind::Timeout => Err(error),
        tried => Ok(tried),
    }
}
