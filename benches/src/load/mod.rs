//! Load: requests sent at a rate or as fast as connections carry them, each checked.
//!
//! In *open* load a request has an intended time, and its latency counts from then: a
//! server that stalls is charged for every request that should have gone out meanwhile.
//! In *closed* load each connection sends as soon as it has its answer, which finds the
//! peak but says little about latency.
//!
//! # Layout
//! - [`plan`]: what to send, where, how often, how long
//! - [`request`]: the bytes of one request
//! - [`pace`]: who may send next, and when it should have been
//! - `worker`: one connection that sends and checks
//! - [`tally`], [`report`]: what was counted, and what it comes to

pub mod pace;
pub mod plan;
pub mod report;
pub mod request;
pub mod tally;
mod worker;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use anyhow::Context;
use tokio::task::LocalSet;

use self::pace::Pace;
pub use self::plan::{Mode, Plan, Sessions, Shape, Target};
pub use self::report::Report;
use self::tally::Tally;
use self::worker::Worker;
use crate::client::Connection;

/// Runs a plan to its end. Runs on the caller's thread, whose time it takes.
pub async fn run(plan: &Plan) -> anyhow::Result<Report> {
    plan.check()?;
    let plan = Rc::new(plan.clone());
    LocalSet::new().run_until(run_workers(plan)).await
}

async fn run_workers(plan: Rc<Plan>) -> anyhow::Result<Report> {
    let tally = Rc::new(RefCell::new(Tally::new()?));
    // All connections are open before the clock starts.
    let mut connections = Vec::with_capacity(plan.n_connections);
    for _ in 0..plan.n_connections {
        let connection = Connection::open(plan.address).await;
        connections.push(connection.with_context(|| format!("connecting to {}", plan.address))?);
    }
    let pace = Rc::new(Pace::start(&plan));
    let tasks: Vec<_> = connections
        .into_iter()
        .map(|connection| Worker::new(plan.clone(), pace.clone(), tally.clone(), connection))
        .map(|worker| tokio::task::spawn_local(worker.run()))
        .collect();
    for task in tasks {
        task.await.context("a connection's task failed")?;
    }
    let elapsed = Instant::now() - pace.started();
    let tally = Rc::into_inner(tally).context("a connection still counts")?.into_inner();
    Ok(Report::new(&plan, tally, elapsed, pace.n_intended(), pace.n_unsent()))
}
