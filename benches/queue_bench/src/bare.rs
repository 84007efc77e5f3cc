//! Bare apalis on Postgres: its own listener, pushes and worker, with tasks that do nothing.

use std::time::{Duration, Instant};

use apalis::prelude::*;
use apalis_postgres::{Config, PostgresStorage, Pubsub};
use serde::{Deserialize, Serialize};
use sqlx::{PgPool, postgres::PgPoolOptions};
use uuid::Uuid;

use crate::{
    Failure,
    measure::{PRODUCER_CONNECTIONS, Progress, drained, enqueue_all, sample},
};

const QUEUE: &str = "bench-bare";
/// As many as the service's carrier has, and one for apalis' own listener.
const CONNECTIONS: u32 = 5;
/// The service's values.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
const HEARTBEAT: Duration = Duration::from_secs(2);
const MISSED_HEARTBEATS: usize = 3;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Nothing {
    number: usize,
}

async fn nothing(_task: Nothing, progress: Data<Progress>) -> Result<(), BoxDynError> {
    progress.entered();
    progress.handled();
    Ok(())
}

async fn pool(uri: &str, connections: u32) -> Result<PgPool, Failure> {
    let options = PgPoolOptions::new().max_connections(connections);
    Ok(options.connect(uri).await?)
}

fn storage(pool: &PgPool, slots: usize) -> PostgresStorage<Nothing> {
    let config = Config::default()
        .queue(QUEUE)
        .batch_size(slots)
        .heartbeat_interval(HEARTBEAT)
        .missed_heartbeats(MISSED_HEARTBEATS);
    PostgresStorage::new(pool).with_config(config)
}

/// Works the queue until everything was handled.
async fn work(pool: PgPool, slots: usize, progress: Progress) -> Result<(), Failure> {
    let wake = Strategy::new()
        .apply(IntervalStrategy::new(POLL_INTERVAL))
        .apply(StreamStrategy::new(Pubsub::new(
            pool.clone(),
            QUEUE.to_owned(),
        )));
    let finished = progress.clone();
    let stop = async move {
        finished.wait().await.ok();
        Ok::<(), WorkerError>(())
    };
    WorkerBuilder::new(format!("{QUEUE}-{}", Uuid::new_v4()))
        .backend(storage(&pool, slots).poll_with_strategy(wake))
        .data(progress)
        .concurrency(slots)
        .build(nothing)
        .run_until(stop)
        .await?;
    Ok(())
}

async fn enqueue(mut storage: PostgresStorage<Nothing>, number: usize) -> Result<(), Failure> {
    storage
        .push(Nothing { number })
        .await
        .map_err(|error| error.to_string().into())
}

/// Enqueues, then times the worker from its start until it has stopped.
pub async fn drain(uri: &str, count: usize, slots: usize) -> Result<serde_json::Value, Failure> {
    let source = storage(&pool(uri, PRODUCER_CONNECTIONS).await?, slots);
    let enqueue_s = enqueue_all(count, move |number| enqueue(source.clone(), number)).await?;
    let pool = pool(uri, CONNECTIONS).await?;
    let (progress, _entries) = Progress::new(count);
    let began = Instant::now();
    work(pool.clone(), slots, progress).await?;
    let drain_s = began.elapsed().as_secs_f64();
    let left = sqlx::query_scalar(
        "select count(*) from apalis.jobs where job_type = $1 and status <> 'Done'",
    )
    .bind(QUEUE)
    .fetch_one(&pool)
    .await?;
    drained(count, enqueue_s, drain_s, left)
}

/// Times single tasks on the idle queue.
pub async fn latency(uri: &str, count: usize, slots: usize) -> Result<serde_json::Value, Failure> {
    let source = storage(&pool(uri, PRODUCER_CONNECTIONS).await?, slots);
    let (progress, mut entries) = Progress::new(usize::MAX);
    let worker = tokio::spawn(work(pool(uri, CONNECTIONS).await?, slots, progress.clone()));
    let result = sample(count, &mut entries, |number| {
        enqueue(source.clone(), number)
    })
    .await;
    progress.finished.cancel();
    worker.await??;
    result
}
