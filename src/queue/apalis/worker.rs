//! The life of a queue's worker: built, run, ended by a database error, built again.

use std::time::{Duration, Instant};

use apalis::prelude::*;
use apalis_postgres::{Config, PostgresStorage};
use futures_util::future::BoxFuture;
use uuid::Uuid;

use super::{ApalisQueue, Envelope, Handlers};

/// The queue whose deliveries a worker takes.
#[derive(Debug, Clone)]
struct QueueName(String);

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
        let stop = self.stop();
        while !stop.is_cancelled() {
            let started = Instant::now();
            let outcome = self.run_worker(&queue, slots).await;
            if stop.is_cancelled() {
                return;
            }
            if started.elapsed() > MAX_RESTART_PAUSE {
                pause = RESTART_PAUSE;
            }
            let error = outcome.err().map(|error| error.to_string());
            tracing::warn!(queue, error, "a queue worker ended and is started again");
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => return,
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
        let stop = self.stop();
        let worker = WorkerBuilder::new(format!("{queue}-{}", Uuid::new_v4()))
            .backend(storage)
            .data(self.handlers.clone())
            .data(QueueName(queue.to_owned()))
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
    queue: Data<QueueName>,
    id: TaskId,
) -> std::result::Result<(), BoxDynError> {
    let stop = handlers.stop_token();
    let slot = tokio::select! {
        biased;
        // Fetched, but the process is ending: an unsuccessful delivery is handed to another one at once.
        () = stop.cancelled() => return Err("the process is ending".into()),
        slot = handlers.slot(&queue.0.0) => slot,
    };
    let Some(handler) = handlers.find(&envelope.class) else {
        tracing::error!(
            worker = envelope.class,
            "no worker of this class is registered"
        );
        return Err(format!("no worker named {}", envelope.class).into());
    };
    let outcome = handler(id.to_string(), envelope.args).await;
    drop(slot);
    outcome.map_err(|error| {
        tracing::error!(worker = envelope.class, %error, "a worker failed");
        error.to_string().into()
    })
}
