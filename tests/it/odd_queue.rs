//! What goes wrong between two steps of a job: a server that is away when a job comes back, a lock that is lost at the last try, an
//! operator who acts at the moment at which a worker does.

use std::time::Duration;

use nightferry::adapters::ledger::{Ledger, Origin, Status};
use nightferry::adapters::queue::{Job, JobStatus};
use nightferry::clock;
use nightferry::config::Config;
use nightferry::error::ErrorKind;
use nightferry::ids::{RunId, Stage};
use nightferry::jobs::operator;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::queue_chain::{Act, Chain, on_each_store, statuses, warehouse};
use crate::support::{Proxy, until};

use Stage::{FullReplication as Full, Notification as Notify};

on_each_store! {
    what_came_back_while_the_warehouse_was_away_is_still_interrupted
}

fn run() -> RunId {
    RunId::from("20261120T041000Z".to_owned())
}

/// The ledger of a run whose stage is open.
async fn open_stage(chain: &Chain, origin: Origin, stage: Stage) -> Ledger {
    let ledger = Ledger::open(&warehouse(chain)).await.unwrap();
    ledger.begin_run(&run(), origin, "host-1").await.unwrap();
    ledger.begin_stage(&run(), stage).await.unwrap();
    ledger
}

async fn far_warehouse(chain: Chain) -> (Chain, Proxy) {
    let proxy = Proxy::before(chain.night.warehouse.port()).await;
    let url = chain.night.warehouse.url_at(proxy.port());
    (chain.with("TARGET_DATABASE_URL", &url), proxy)
}

async fn what_came_back_while_the_warehouse_was_away_is_still_interrupted(chain: Chain) {
    let (chain, proxy) = far_warehouse(chain).await;
    open_stage(&chain, Origin::Schedule, Full).await;
    let job = Job { interrupted: true, ..Job::first(run(), Full, Origin::Schedule) };
    let queues = chain.queues().await;
    proxy.cut();
    queues.push(&job, Duration::ZERO).await.unwrap();
    let worker = chain.worker();
    until("a try without a warehouse", async || {
        (queues.jobs(Full).await.unwrap()[0].status == JobStatus::Failed).then_some(())
    })
    .await;
    proxy.open();
    chain.ended(&run(), Full).await;
    assert!(chain.stages_seen(&run()).is_empty(), "ON_INTERRUPTED is fail: it does not begin again");
    assert_eq!(chain.ledger_of(&run()).await, "interrupted|interrupted");
    worker.stop().await;
}
