//! The workers of this process by class name, and its slots: whatever carrier brings the deliveries,
//! no more steps of a queue run here at the same time than the settings say.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use loco_rs::{app::AppContext, bgworker::JobHandler};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// Loco's type-erased workers with the slots they share.
#[derive(Clone)]
pub struct Handlers(Arc<Inner>);

struct Inner {
    by_class: RwLock<HashMap<String, Arc<JobHandler>>>,
    slots: BTreeMap<String, Slots>,
    stop: CancellationToken,
}

struct Slots {
    free: Arc<Semaphore>,
    all: u32,
}

impl Handlers {
    /// No workers yet, and `concurrency` slots by queue name.
    #[must_use]
    pub fn new(concurrency: &BTreeMap<String, usize>) -> Self {
        let slots = concurrency
            .iter()
            .map(|(queue, all)| {
                let slots = Slots {
                    free: Arc::new(Semaphore::new(*all)),
                    all: u32::try_from(*all).unwrap_or(u32::MAX),
                };
                (queue.clone(), slots)
            })
            .collect();
        Self(Arc::new(Inner {
            by_class: RwLock::default(),
            slots,
            stop: CancellationToken::new(),
        }))
    }

    /// The workers that boot put into the context.
    ///
    /// # Errors
    /// When the context was not made by this application's hooks.
    pub fn of(ctx: &AppContext) -> loco_rs::Result<Self> {
        ctx.shared_store
            .get::<Self>()
            .ok_or_else(|| loco_rs::Error::string("the workers are missing from the context"))
    }

    /// Cancelled when the process begins to end.
    #[must_use]
    pub fn stop_token(&self) -> CancellationToken {
        self.0.stop.clone()
    }

    /// Registers a worker under its class name; a later one replaces it.
    pub fn register(&self, class: String, handler: JobHandler) {
        self.0
            .by_class
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(class, Arc::new(handler));
    }

    /// The worker of a class.
    #[must_use]
    pub fn find(&self, class: &str) -> Option<Arc<JobHandler>> {
        self.0
            .by_class
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(class)
            .cloned()
    }

    /// Waits for a slot of a queue; `None` when this process does not work it.
    pub async fn slot(&self, queue: &str) -> Option<OwnedSemaphorePermit> {
        let slots = self.0.slots.get(queue)?;
        Arc::clone(&slots.free).acquire_owned().await.ok()
    }

    /// Waits until no step runs, at most `limit`; tells whether that came true.
    pub async fn idle(&self, limit: Duration) -> bool {
        let every = async {
            for slots in self.0.slots.values() {
                if let Ok(permits) = Arc::clone(&slots.free).acquire_many_owned(slots.all).await {
                    drop(permits);
                }
            }
        };
        tokio::time::timeout(limit, every).await.is_ok()
    }
}
