//! The worker loops: one per queue, supervised here, since the library's own monitor restarts without a pause, under
//! the same name, or not at all.

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
use futures::stream::{FuturesUnordered, StreamExt};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};
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
pub const STOP_LIMIT: Duration = Duration::from_secs(6);
const PAUSE: Duration = Duration::from_secs(1);
const LOOK_FOR_STRANDED_EVERY: Duration = Duration::from_secs(5);
const LOOK_FOR_PAUSES_EVERY: Duration = Duration::from_millis(500);

/// Before the number in a worker's name that says which build of it this is.
const BUILD: char = '-';

/// What all builds of a worker have in common.
pub(super) fn process_of(worker: &str) -> &str {
    worker.rsplit_once(BUILD).map_or(worker, |(process, _)| process)
}

/// Whether a queue has a job at work.
type Busy = Arc<AtomicBool>;

/// The queues that are paused, as they were seen last; none before they were seen at all.
type Paused = watch::Receiver<Option<Vec<Stage>>>;

/// A job at work. It does not belong to the worker that took it: when Redis was away for so long that the worker is missed, that
/// one is over, and the job, which may have worked for hours, goes on. It will be delivered again, and finds that it was done.
type Work = BoxFuture<'static, ()>;

/// Why a worker ended.
enum End {
    /// Its queue is paused. It may have taken a job that it did not begin, delivered before or not.
    Paused { redelivered: bool },
    /// Something went wrong, or it was asked to stop.
    Other(String),
}

/// What the worker of a queue is built with.
#[derive(Clone)]
struct Surroundings {
    stage: Stage,
    handler: Handler,
    busy: Busy,
    begin: mpsc::UnboundedSender<Work>,
    paused: Paused,
    stop: CancellationToken,
}

impl Surroundings {
    fn is_paused(&self) -> bool {
        self.paused.borrow().as_ref().is_some_and(|paused| paused.contains(&self.stage))
    }

    /// Comes back once the queue is known to be paused, or not to be.
    async fn wait_until_paused(&self, wanted: bool) {
        let is_so = |paused: &Option<Vec<Stage>>| {
            paused.as_ref().is_some_and(|paused| paused.contains(&self.stage) == wanted)
        };
        if self.paused.clone().wait_for(is_so).await.is_err() {
            // Nobody looks any more: all is about to end.
            std::future::pending::<()>().await;
        }
    }
}

impl Queues {
    /// Serves the queues, one job of each at a time, until `stop`. A worker that dies is built again under a new
    /// name: the store takes two workers of one name for one, and refuses the second for as long as the first was
    /// seen lately. Returns within [`STOP_LIMIT`] after `stop`; a job that is not finished by then is dropped, and
    /// will be delivered again.
    pub async fn serve(&self, handler: Handler, stop: CancellationToken) {
        let mut loops = JoinSet::new();
        let (seen, paused) = watch::channel(None);
        loops.spawn(self.clone().look_for_pauses(seen, stop.clone()));
        let queues = Stage::ALL.map(|stage| (stage, Busy::default()));
        for (stage, busy) in &queues {
            let (begin, begun) = mpsc::unbounded_channel();
            let around = Surroundings {
                stage: *stage,
                handler: handler.clone(),
                busy: busy.clone(),
                begin,
                paused: paused.clone(),
                stop: stop.clone(),
            };
            loops.spawn(self.clone().serve_queue(around, begun));
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

    /// Sees which queues are paused; while the store does not answer, they stay as they were.
    async fn look_for_pauses(self, seen: watch::Sender<Option<Vec<Stage>>>, stop: CancellationToken) {
        let look = async {
            loop {
                if let Ok(paused) = self.paused().await {
                    seen.send_if_modified(|before| {
                        let changed = before.as_ref() != Some(&paused);
                        *before = Some(paused);
                        changed
                    });
                }
                tokio::time::sleep(LOOK_FOR_PAUSES_EVERY).await;
            }
        };
        stop.run_until_cancelled(look).await;
    }

    async fn serve_queue(self, around: Surroundings, mut begun: mpsc::UnboundedReceiver<Work>) {
        let (process, stage, stop) = (Ulid::generate(), around.stage, around.stop.clone());
        for build in 1_u32.. {
            if stop.run_until_cancelled(around.wait_until_paused(false)).await.is_none() {
                return;
            }
            let name = format!("{}-{process}-{stage}{BUILD}{build}", host_name());
            let life = with_its_work(self.serve_once(&name, &around), &mut begun);
            let end = AssertUnwindSafe(life).catch_unwind().await;
            // Where it panicked, what it was at went with it.
            around.busy.store(false, Ordering::SeqCst);
            if stop.is_cancelled() {
                return;
            }
            let reason = match end {
                Ok(End::Paused { redelivered }) => match self.give_back(stage, &name, redelivered).await {
                    Ok(()) => continue,
                    Err(error) => error.to_string(),
                },
                Ok(End::Other(reason)) => reason,
                Err(_) => "it panicked".to_owned(),
            };
            tracing::warn!(queue = stage.queue_name(), reason, "the worker of a queue is built again");
            if stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await.is_none() {
                return;
            }
        }
    }

    /// Puts back what a worker took and did not begin, since its queue is paused. It is not waited for that the worker is
    /// missed: that would count as a delivery.
    async fn give_back(&self, stage: Stage, worker: &str, redelivered: bool) -> Result<()> {
        match &self.0 {
            Place::Redis(connection) => redis::give_back(connection, stage, worker, redelivered).await,
            Place::File(pool) => sqlite::give_back(pool, worker).await,
        }
    }

    /// One worker's life; says what ended it.
    async fn serve_once(&self, name: &str, around: &Surroundings) -> End {
        let (stage, busy) = (around.stage, &around.busy);
        let store = match &self.0 {
            Place::Redis(connection) => redis::store(connection, stage),
            Place::File(pool) => sqlite::store(pool, stage),
        };
        let context = WorkerContext::new(name);
        let (slipped, mut slips) = mpsc::channel(1);
        let mut running = self.start(store, &context, around, slipped);
        let stop_idle = async {
            around.stop.cancelled().await;
            if !busy.load(Ordering::SeqCst) {
                let _ = context.stop();
            }
            std::future::pending::<()>().await;
        };
        let pause_idle = async {
            loop {
                around.wait_until_paused(true).await;
                if !busy.load(Ordering::SeqCst) {
                    let _ = context.stop();
                }
                around.wait_until_paused(false).await;
            }
        };
        tokio::select! {
            biased;
            ended = &mut running => match ended {
                Ok(()) if context.is_stopped() => End::Paused { redelivered: false },
                Ok(()) => End::Other("it ended by itself".to_owned()),
                Err(error) => End::Other(error.to_string()),
            },
            Some(redelivered) = slips.recv() => End::Paused { redelivered },
            () = self.stranded(stage, &context, busy) => {
                End::Other("a job was handed to it and never arrived".to_owned())
            }
            () = stop_idle => End::Other(String::new()),
            () = pause_idle => End::Other(String::new()),
        }
    }

    /// A worker at work.
    fn start(
        &self,
        store: Store,
        context: &WorkerContext,
        around: &Surroundings,
        slipped: mpsc::Sender<bool>,
    ) -> BoxFuture<'static, std::result::Result<(), WorkerError>> {
        let (queues, worker, around) = (self.clone(), context.clone(), around.clone());
        let handle = move |value: Value, earlier: Earlier| {
            let (queues, worker, around, slipped) =
                (queues.clone(), worker.clone(), around.clone(), slipped.clone());
            async move {
                let redelivered = earlier.redelivered(worker.name());
                // The last look: once a queue is paused, no job of it begins.
                if queues.is_paused(around.stage).await.unwrap_or(false) {
                    let _ = slipped.send(redelivered).await;
                    return std::future::pending().await;
                }
                around.busy.store(true, Ordering::SeqCst);
                let (tell, told) = oneshot::channel();
                let (handler, busy) = (around.handler.clone(), around.busy.clone());
                let work = async move {
                    let result = queues.deliver(value, redelivered, &handler).await;
                    busy.store(false, Ordering::SeqCst);
                    let _ = tell.send(result);
                };
                let _ = around.begin.send(work.boxed());
                let Ok(result) = told.await else {
                    // All is about to end.
                    return std::future::pending().await;
                };
                if around.stop.is_cancelled() || around.is_paused() {
                    // Told from here, and not while the handler was at work: a worker that is stopping does not finish
                    // the heartbeat it is in, and that may hold what the handler waits for.
                    let _ = worker.stop();
                }
                result
            }
        };
        WorkerBuilder::new(context).backend(store).concurrency(1).build(handle).run().boxed()
    }

    async fn deliver(
        &self,
        value: Value,
        redelivered: bool,
        handler: &Handler,
    ) -> std::result::Result<String, BoxDynError> {
        let result = match understand(value) {
            Ok(job) => {
                let result = handler(Delivery { job: job.clone(), redelivered }).await;
                if let Err(error) = self.no_more_to_cancel(&job).await {
                    tracing::debug!(error.message = %error, "a mark of a job that has ended stays");
                }
                result
            }
            Err(error) => Err(error),
        };
        // Only this kind of error keeps the library from trying again by its own rules.
        result.map(|()| "ok".to_owned()).map_err(|error| AbortError::new(error.to_string()).into())
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

/// A worker's life, and after it the rest of what it had begun: no other job of the queue begins before.
async fn with_its_work(life: impl Future<Output = End>, begun: &mut mpsc::UnboundedReceiver<Work>) -> End {
    tokio::pin!(life);
    let mut at_work = FuturesUnordered::new();
    let end = loop {
        tokio::select! {
            end = &mut life => break end,
            Some(work) = begun.recv() => at_work.push(work),
            Some(()) = at_work.next() => {}
        }
    };
    while let Ok(work) = begun.try_recv() {
        at_work.push(work);
    }
    while at_work.next().await.is_some() {}
    end
}

/// The queues that have a job at work.
fn at_work(queues: &[(Stage, Busy)]) -> Option<String> {
    let busy = queues.iter().filter(|(_, busy)| busy.load(Ordering::SeqCst));
    let names: Vec<&str> = busy.map(|(stage, _)| stage.queue_name()).collect();
    (!names.is_empty()).then(|| names.join(", "))
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
