//! The worker loops: one per queue, supervised here, since the library's own monitor restarts without a pause, under
//! the same name, or not at all.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use apalis::prelude::WorkerBuilderExt;
use apalis_core::error::{AbortError, BoxDynError, WorkerError};
use apalis_core::task::Task;
use apalis_core::task::from_request::FromRequest;
use apalis_core::worker::builder::WorkerBuilder;
use apalis_core::worker::context::WorkerContext;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use super::store::Store;
use super::{Delivery, Place, Queues, host_name, redis, sqlite, understand};
use crate::error::Result;
use crate::ids::Stage;

/// What is done with a delivered job. The job is acknowledged when this comes back, whatever it says; an error is
/// kept with the job as text. Dropped before it came back, the job will be delivered again.
pub type Handler = Arc<dyn Fn(Delivery) -> BoxFuture<'static, Result<()>> + Send + Sync>;

/// How long the loops may take to end after they were told to.
pub const STOP_LIMIT: Duration = Duration::from_secs(8);
const PAUSE: Duration = Duration::from_secs(1);
const LOOK_FOR_STRANDED_EVERY: Duration = Duration::from_secs(5);

/// Whether a queue has a job at work.
type Busy = Arc<AtomicBool>;

impl Queues {
    /// Serves the queues, one job of each at a time, until `stop`. A worker that dies is built again under a new
    /// name: the store takes two workers of one name for one, and refuses the second for as long as the first was
    /// seen lately. Returns within [`STOP_LIMIT`] after `stop`; a job that is not finished by then is dropped, and
    /// will be delivered again.
    pub async fn serve(&self, handler: Handler, stop: CancellationToken) {
        let mut loops = JoinSet::new();
        let queues = Stage::ALL.map(|stage| (stage, Busy::default()));
        for (stage, busy) in &queues {
            loops.spawn(self.clone().serve_queue(*stage, handler.clone(), busy.clone(), stop.clone()));
        }
        let ended = async { while loops.join_next().await.is_some() {} };
        let limit = async {
            stop.cancelled().await;
            tokio::time::sleep(STOP_LIMIT).await;
        };
        tokio::select! {
            () = ended => {}
            () = limit => match at_work(&queues) {
                // A store that does not answer keeps an idle loop, and nothing is lost with it.
                None => tracing::debug!("the queues did not end in time, none of them was at work"),
                Some(queues) => {
                    tracing::warn!(queues, "a job did not stop in time, it will come back as interrupted");
                }
            },
        }
    }

    async fn serve_queue(self, stage: Stage, handler: Handler, busy: Busy, stop: CancellationToken) {
        let process = Ulid::generate();
        for build in 1_u32.. {
            let name = format!("{}-{process}-{stage}-{build}", host_name());
            let life = self.serve_once(stage, &name, handler.clone(), &busy, stop.clone());
            let outcome =
                AssertUnwindSafe(life).catch_unwind().await.unwrap_or_else(|_| "it panicked".to_owned());
            // What that life was at went with it.
            busy.store(false, Ordering::SeqCst);
            if stop.is_cancelled() {
                return;
            }
            tracing::warn!(
                queue = stage.queue_name(),
                reason = outcome,
                "the worker of a queue is built again"
            );
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// One worker's life; says what ended it.
    async fn serve_once(
        &self,
        stage: Stage,
        name: &str,
        handler: Handler,
        busy: &Busy,
        stop: CancellationToken,
    ) -> String {
        let store = match &self.0 {
            Place::Redis(connection) => redis::store(connection, stage),
            Place::File(pool) => sqlite::store(pool, stage),
        };
        let context = WorkerContext::new(name);
        let mut running = start(store, &context, handler, busy.clone(), stop.clone());
        let stop_idle = async {
            stop.cancelled().await;
            if !busy.load(Ordering::SeqCst) {
                let _ = context.stop();
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            ended = &mut running => match ended {
                Ok(()) => "it ended by itself".to_owned(),
                Err(error) => error.to_string(),
            },
            () = self.stranded(stage, &context, busy) => {
                "a job was handed to it and never arrived".to_owned()
            }
            () = stop_idle => String::new(),
        }
    }

    /// Comes back when the store believes a job to be in this worker's hands while nothing is at work: the answer to
    /// a fetch was lost. A live worker's job is never given to another one, so the worker has to go.
    async fn stranded(&self, stage: Stage, worker: &WorkerContext, busy: &AtomicBool) {
        let Place::Redis(connection) = &self.0 else {
            return std::future::pending().await;
        };
        let mut seen = 0;
        while seen < 2 {
            tokio::time::sleep(LOOK_FOR_STRANDED_EVERY).await;
            let idle = !busy.load(Ordering::SeqCst);
            let held = redis::in_hand(connection, stage, worker).await.unwrap_or(0);
            seen = if idle && held > 0 && !busy.load(Ordering::SeqCst) { seen + 1 } else { 0 };
        }
    }
}

/// The queues that have a job at work.
fn at_work(queues: &[(Stage, Busy)]) -> Option<String> {
    let busy = queues.iter().filter(|(_, busy)| busy.load(Ordering::SeqCst));
    let names: Vec<&str> = busy.map(|(stage, _)| stage.queue_name()).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

/// A worker at work.
fn start(
    store: Store,
    context: &WorkerContext,
    handler: Handler,
    busy: Busy,
    stop: CancellationToken,
) -> BoxFuture<'static, std::result::Result<(), WorkerError>> {
    let worker = context.clone();
    let handle = move |value: Value, earlier: Earlier| {
        let (handler, busy, worker, stop) = (handler.clone(), busy.clone(), worker.clone(), stop.clone());
        async move {
            busy.store(true, Ordering::SeqCst);
            let result = deliver(value, earlier.redelivered(worker.name()), &handler).await;
            busy.store(false, Ordering::SeqCst);
            if stop.is_cancelled() {
                // Told from here, and not while the handler was at work: a worker that is stopping does not finish
                // the heartbeat it is in, and that may hold what the handler waits for.
                let _ = worker.stop();
            }
            result
        }
    };
    WorkerBuilder::new(context).backend(store).concurrency(1).build(handle).run().boxed()
}

fn deliver(
    value: Value,
    redelivered: bool,
    handler: &Handler,
) -> impl Future<Output = std::result::Result<String, BoxDynError>> + Send + use<> {
    let work = understand(value).map(|job| handler(Delivery { job, redelivered }));
    async move {
        let result = match work {
            Ok(work) => work.await,
            Err(error) => Err(error),
        };
        // Only this kind of error keeps the library from trying again by its own rules.
        result.map(|()| "ok".to_owned()).map_err(|error| AbortError::new(error.to_string()).into())
    }
}

/// What a delivered job says about deliveries before this one.
struct Earlier {
    holder: Option<String>,
    attempt: usize,
}

impl Earlier {
    /// Redis keeps the name of the dead holder with the job; the file counts the deliveries, the first being 1.
    fn redelivered(&self, worker: &str) -> bool {
        self.holder.as_deref().is_some_and(|holder| holder != worker) || self.attempt > 1
    }
}

impl FromRequest<Task<Value>> for Earlier {
    type Error = std::convert::Infallible;

    async fn from_request(task: &Task<Value>) -> std::result::Result<Self, Self::Error> {
        Ok(Self { holder: task.lock_by().map(str::to_owned), attempt: task.attempt() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_queue_that_is_busy_did_not_stop_in_time() {
        let queues = Stage::ALL.map(|stage| (stage, Busy::default()));
        assert_eq!(at_work(&queues), None);
        queues[1].1.store(true, Ordering::SeqCst);
        assert_eq!(at_work(&queues).as_deref(), Some(queues[1].0.queue_name()));
    }

    #[test]
    fn a_job_that_another_worker_held_was_delivered_before() {
        let earlier = |holder: Option<&str>, attempt| Earlier { holder: holder.map(str::to_owned), attempt };
        assert!(!earlier(None, 1).redelivered("me"), "first delivery, Redis");
        assert!(!earlier(Some("me"), 1).redelivered("me"), "first delivery, file");
        assert!(earlier(Some("the dead"), 1).redelivered("me"), "second delivery, Redis");
        assert!(earlier(Some("me"), 2).redelivered("me"), "second delivery, file");
    }
}
