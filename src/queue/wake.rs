//! Waking queues: the process' listener hears of every insert and rings the queue's bell.

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

/// Channel that apalis' insert trigger notifies.
pub const CHANNEL: &str = "apalis::job::insert";
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

    /// Wakes every queue: notifications may have been lost.
    pub fn ring_all(&self) {
        let queues: Vec<String> = {
            let bells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            bells.keys().cloned().collect()
        };
        for queue in queues {
            self.ring(&queue);
        }
    }

    /// Takes a notification of an insert; one for a queue that this process does not work is nothing
    /// to it.
    pub fn hear(&self, note: &str) {
        let Ok(event) = serde_json::from_str::<InsertEvent>(note) else {
            return;
        };
        let is_ours = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains_key(&event.job_type);
        if is_ours {
            self.ring(&event.job_type);
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
