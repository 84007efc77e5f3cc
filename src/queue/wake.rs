//! Waking queues: one listener connection per process, outside the pool, hears of every insert.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use apalis::prelude::{PollSnapshot, PollStrategy};
use serde::Deserialize;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio_util::sync::CancellationToken;

/// Channel that apalis' insert trigger notifies.
const CHANNEL: &str = "apalis::job::insert";
/// Pause before a lost listener connection is opened again.
const RECONNECT: Duration = Duration::from_millis(500);
/// Second looks after a notification: one that arrives while a fetch is under way would otherwise
/// wait for the poll interval.
const SECOND_LOOKS: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(40)];

/// What wakes one queue's worker.
#[derive(Debug, Default)]
struct Bell {
    rings: AtomicU64,
    waker: Mutex<Option<Waker>>,
}

impl Bell {
    fn ring(&self) {
        self.rings.fetch_add(1, Ordering::Release);
        let waker = self
            .waker
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The bells of all queues of this process.
#[derive(Debug, Clone, Default)]
pub struct Bells(Arc<Mutex<HashMap<String, Arc<Bell>>>>);

impl Bells {
    fn bell(&self, queue: &str) -> Arc<Bell> {
        let mut bells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(bells.entry(queue.to_owned()).or_default())
    }

    /// The poll strategy of a queue's worker.
    pub fn strategy(&self, queue: &str) -> BellStrategy {
        BellStrategy {
            bell: self.bell(queue),
            heard: 0,
        }
    }

    /// Wakes a queue now and, in case a fetch was under way, shortly after.
    pub fn ring(&self, queue: &str) {
        let bell = self.bell(queue);
        bell.ring();
        tokio::spawn(async move {
            for pause in SECOND_LOOKS {
                tokio::time::sleep(pause).await;
                bell.ring();
            }
        });
    }

    /// Wakes a queue when a delayed delivery becomes due.
    pub fn ring_in(&self, queue: String, delay: Duration) {
        let bells = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            bells.ring(&queue);
        });
    }

    fn ring_all(&self) {
        let queues: Vec<String> = {
            let bells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            bells.keys().cloned().collect()
        };
        for queue in queues {
            self.ring(&queue);
        }
    }

    /// Listens until `stop`; a lost connection is opened again and every queue looked at once,
    /// because notifications sent meanwhile are gone.
    pub async fn listen(self, options: PgConnectOptions, stop: CancellationToken) {
        while !stop.is_cancelled() {
            if let Err(error) = self.listen_once(&options, &stop).await {
                tracing::warn!(%error, "the queue listener lost its connection and reconnects");
                tokio::time::sleep(RECONNECT).await;
            }
        }
    }

    async fn listen_once(
        &self,
        options: &PgConnectOptions,
        stop: &CancellationToken,
    ) -> Result<(), sqlx::Error> {
        // A listener takes its connection from a pool; this one holds nothing else.
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .connect_with(options.clone())
            .await?;
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.eager_reconnect(false);
        listener.listen(CHANNEL).await?;
        self.ring_all();
        loop {
            let notification = tokio::select! {
                notification = listener.try_recv() => notification?,
                () = stop.cancelled() => return Ok(()),
            };
            let Some(notification) = notification else {
                return Err(sqlx::Error::PoolClosed);
            };
            if let Ok(event) = serde_json::from_str::<InsertEvent>(notification.payload()) {
                self.ring(&event.job_type);
            }
        }
    }
}

#[derive(Debug, Deserialize)]
struct InsertEvent {
    job_type: String,
}

/// Lets apalis fetch when its queue's bell rings.
#[derive(Debug)]
pub struct BellStrategy {
    bell: Arc<Bell>,
    heard: u64,
}

impl PollStrategy for BellStrategy {
    fn poll_drive(&mut self, cx: &mut Context<'_>, _snapshot: &PollSnapshot) -> Poll<Option<()>> {
        *self
            .bell
            .waker
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
        let rings = self.bell.rings.load(Ordering::Acquire);
        if rings == self.heard {
            return Poll::Pending;
        }
        self.heard = rings;
        Poll::Ready(Some(()))
    }
}
