//! What both sides share: counting handled tasks, timing enqueues and entries of handlers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::Failure;

/// Tasks that enqueue at the same time.
pub const PRODUCERS: usize = 10;
/// Connections for enqueueing: one a producer.
pub const PRODUCER_CONNECTIONS: u32 = 10;
/// A drain or a sample that takes longer has failed.
const LIMIT: Duration = Duration::from_secs(300);
const SAMPLE_LIMIT: Duration = Duration::from_secs(10);
/// Samples that nobody counts: connections are opened and statements prepared.
const WARM_UP: usize = 10;
/// Pauses between two samples, in milliseconds: longer than the second looks of the queue, and uneven,
/// so that samples do not fall into step with its polling.
const PAUSE_MS: u64 = 80;
const PAUSE_STEP_MS: u64 = 13;
const PAUSE_STEPS: u64 = 7;

/// Counts handled tasks up to a number, and passes on when each handler was entered.
#[derive(Clone)]
pub struct Progress {
    handled: Arc<AtomicUsize>,
    wanted: usize,
    entries: mpsc::UnboundedSender<Instant>,
    /// Cancelled when everything was handled.
    pub finished: CancellationToken,
}

impl Progress {
    /// Counts up to `wanted`; the other end gives the times of entry.
    pub fn new(wanted: usize) -> (Self, mpsc::UnboundedReceiver<Instant>) {
        let (entries, receiver) = mpsc::unbounded_channel();
        let progress = Self {
            handled: Arc::default(),
            wanted,
            entries,
            finished: CancellationToken::new(),
        };
        (progress, receiver)
    }

    /// To be called first thing in a handler.
    pub fn entered(&self) {
        self.entries.send(Instant::now()).ok();
    }

    /// To be called when a task's work is done.
    pub fn handled(&self) {
        if self.handled.fetch_add(1, Ordering::Relaxed) + 1 == self.wanted {
            self.finished.cancel();
        }
    }

    /// Waits until everything was handled.
    pub async fn wait(&self) -> Result<(), Failure> {
        tokio::time::timeout(LIMIT, self.finished.cancelled())
            .await
            .map_err(|_| format!("only {:?} of {} were handled", self.handled, self.wanted).into())
    }
}

/// Enqueues `count` tasks one by one from all producers at once; gives the seconds it took.
pub async fn enqueue_all<F>(
    count: usize,
    enqueue: impl Fn(usize) -> F + Clone + Send + 'static,
) -> Result<f64, Failure>
where
    F: Future<Output = Result<(), Failure>> + Send,
{
    let began = Instant::now();
    let mut producers = JoinSet::new();
    for producer in 0..PRODUCERS {
        let enqueue = enqueue.clone();
        producers.spawn(async move {
            for number in (producer..count).step_by(PRODUCERS) {
                enqueue(number).await?;
            }
            Ok::<_, Failure>(())
        });
    }
    while let Some(outcome) = producers.join_next().await {
        outcome??;
    }
    Ok(began.elapsed().as_secs_f64())
}

/// Enqueues one task at a time on an idle queue; gives the milliseconds from the call to the entry of
/// the handler, and those that the call itself took.
pub async fn sample<F>(
    count: usize,
    entries: &mut mpsc::UnboundedReceiver<Instant>,
    enqueue: impl Fn(usize) -> F,
) -> Result<Value, Failure>
where
    F: Future<Output = Result<(), Failure>>,
{
    let (mut entry_ms, mut enqueue_ms) = (Vec::new(), Vec::new());
    let mut step = 0;
    for number in 0..WARM_UP + count {
        step = (step + 3) % PAUSE_STEPS;
        tokio::time::sleep(Duration::from_millis(PAUSE_MS + step * PAUSE_STEP_MS)).await;
        let began = Instant::now();
        enqueue(number).await?;
        let enqueued = began.elapsed();
        let entered = tokio::time::timeout(SAMPLE_LIMIT, entries.recv())
            .await?
            .ok_or("the worker ended")?;
        if number >= WARM_UP {
            entry_ms.push(entered.duration_since(began).as_secs_f64() * 1e3);
            enqueue_ms.push(enqueued.as_secs_f64() * 1e3);
        }
    }
    Ok(json!({ "entryMs": entry_ms, "enqueueMs": enqueue_ms }))
}

/// The result of a drain. `left` counts tasks that are not stored as done.
pub fn drained(count: usize, enqueue_s: f64, drain_s: f64, left: i64) -> Result<Value, Failure> {
    if left > 0 {
        return Err(format!("{left} of {count} are not stored as done").into());
    }
    Ok(json!({ "count": count, "enqueueS": enqueue_s, "drainS": drain_s }))
}
