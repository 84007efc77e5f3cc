//! The life of a queue's worker: built, run, ended by a database error, built again.

use std::{
    sync::PoisonError,
    time::{Duration, Instant},
};

use apalis::prelude::*;
use apalis_postgres::{Config, PostgresStorage};
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{ApalisQueue, Envelope, Handlers};

/// apalis' own liveness: a worker that misses three beats loses its deliveries.
const HEARTBEAT: Duration = Duration::from_secs(2);
const MISSED_HEARTBEATS: usize = 3;
/// Pause before a worker that ended with an error starts again, doubled up to the maximum.
const RESTART_PAUSE: Duration = Duration::from_millis(250);
const MAX_RESTART_PAUSE: Duration = Duration::from_secs(5);

impl ApalisQueue {
    /// Works one queue until the process ends; apalis ends a worker on any database error, so it is
    /// started again under a new name (a reused name would keep a dead worker's deliveries alive).
    pub(super) async fn work(self, queue: String, slots: usize) {
        let mut pause = RESTART_PAUSE;
        while !self.stop.is_cancelled() {
            let started = Instant::now();
            let outcome = self.run_worker(&queue, slots).await;
            if self.stop.is_cancelled() {
                return;
            }
            if started.elapsed() > MAX_RESTART_PAUSE {
                pause = RESTART_PAUSE;
            }
            let error = outcome.err().map(|error| error.to_string());
            tracing::warn!(queue, error, "a queue worker ended and is started again");
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.stop.cancelled() => return,
            }
            pause = pause.saturating_mul(2).min(MAX_RESTART_PAUSE);
        }
    }

    /// One life of a queue's worker. Boxed here because its type is too deep to be proven `Send` later.
    fn run_worker(
        &self,
        queue: &str,
        slots: usize,
    ) -> BoxFuture<'static, std::result::Result<(), WorkerError>> {
        let config = Config::default()
            .queue(queue)
            .batch_size(slots)
            .heartbeat_interval(HEARTBEAT)
            .missed_heartbeats(MISSED_HEARTBEATS);
        let wake = Strategy::new()
            .apply(IntervalStrategy::new(self.poll_interval))
            .apply(self.bells.strategy(queue));
        let storage = PostgresStorage::<Envelope>::new(&self.pool)
            .with_config(config)
            .poll_with_strategy(wake);
        let stop = self.stop.clone();
        let worker = WorkerBuilder::new(format!("{queue}-{}", Uuid::new_v4()))
            .backend(storage)
            .data(self.handlers.clone())
            .data(self.stop.clone())
            .concurrency(slots)
            .catch_panic()
            .parallelize(tokio::spawn)
            .build(handle);
        let stopped = async move {
            stop.cancelled().await;
            Ok::<(), WorkerError>(())
        };
        Box::pin(worker.run_until(stopped))
    }
}

/// Hands one delivery to its worker.
async fn handle(
    envelope: Envelope,
    handlers: Data<Handlers>,
    stop: Data<CancellationToken>,
    id: TaskId,
) -> std::result::Result<(), BoxDynError> {
    // Fetched, but the process is ending: an unsuccessful delivery is handed to another one at once.
    if stop.is_cancelled() {
        return Err("the process is ending".into());
    }
    let Handlers(handlers) = &*handlers;
    let handler = handlers
        .read()
        .unwrap_or_else(PoisonError::into_inner)
        .get(&envelope.class)
        .cloned();
    let Some(handler) = handler else {
        tracing::error!(
            worker = envelope.class,
            "no worker of this class is registered"
        );
        return Err(format!("no worker named {}", envelope.class).into());
    };
    handler(id.to_string(), envelope.args)
        .await
        .map_err(|error| {
            tracing::error!(worker = envelope.class, %error, "a worker failed");
            error.to_string().into()
        })
}
