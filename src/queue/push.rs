//! Deliveries that a carrier brings by HTTP. They go through the same workers and the same slots as
//! those that a process fetches itself.

use std::{sync::Arc, time::Duration};

use loco_rs::app::AppContext;
use sea_orm::{DatabaseConnection, DbErr, prelude::Uuid};
use serde_json::json;

use super::{Carrier, Delivery, carrier, handlers::Handlers};
use crate::{models::begin, settings};

/// A delivery that comes before its job is due (clocks differ) is kept this long, milliseconds.
const MAX_EARLY_MS: u64 = 2_000;

/// A pushed delivery.
#[derive(Debug, Clone)]
pub struct Pushed {
    pub job_id: Uuid,
    pub queue: String,
    /// Class of the worker that takes it.
    pub worker: String,
    /// The carrier's name of it, if it said so.
    pub task: Option<String>,
    /// Milliseconds until the named job is due, if it waits for a time.
    pub due_in_ms: Option<i64>,
}

/// Why a pushed delivery could not be worked; nothing was committed then.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    #[error("this process does not work the queue {0}")]
    NoWorker(String),
    #[error("the worker failed: {0}")]
    Worker(String),
    #[error(transparent)]
    Database(#[from] DbErr),
}

/// Takes pushed deliveries.
pub struct Receiver {
    db: DatabaseConnection,
    carrier: Arc<dyn Carrier>,
    handlers: Handlers,
    slot_wait: Duration,
    give_back_ms: i64,
}

impl Receiver {
    /// The receiver of this process.
    ///
    /// # Errors
    /// When the context was not made by this application's hooks.
    pub fn of(ctx: &AppContext, queue: &settings::Queue) -> loco_rs::Result<Self> {
        Ok(Self {
            db: ctx.db.clone(),
            carrier: carrier(ctx)?,
            handlers: Handlers::of(ctx)?,
            slot_wait: Duration::from_millis(queue.push_wait_ms),
            give_back_ms: i64::try_from(queue.poll_interval_ms).unwrap_or(i64::MAX),
        })
    }

    /// Works one step of the fairest due job of the delivery's queue, or finds nothing to do. When no
    /// slot becomes free in time, or the process ends, the delivery is sent again instead.
    ///
    /// # Errors
    /// See [`PushError`].
    pub async fn take(&self, pushed: Pushed) -> Result<(), PushError> {
        let handler = self
            .handlers
            .find(&pushed.worker)
            .ok_or_else(|| PushError::NoWorker(pushed.queue.clone()))?;
        let stop = self.handlers.stop_token();
        let ready = async {
            if let Some(ms) = pushed.due_in_ms.and_then(|ms| u64::try_from(ms).ok()) {
                tokio::time::sleep(Duration::from_millis(ms.min(MAX_EARLY_MS))).await;
            }
            self.handlers.slot(&pushed.queue).await
        };
        let slot = tokio::select! {
            biased;
            () = stop.cancelled() => return self.give_back(&pushed, 0).await,
            slot = ready => slot.ok_or_else(|| PushError::NoWorker(pushed.queue.clone()))?,
            () = tokio::time::sleep(self.slot_wait) => {
                return self.give_back(&pushed, self.give_back_ms).await;
            }
        };
        self.carrier
            .arrived(pushed.job_id, pushed.task.as_deref())
            .await?;
        // In a task of its own: a carrier that hangs up must not cut a step in the middle.
        let step = tokio::spawn(async move {
            let outcome = handler(
                pushed.task.unwrap_or_default(),
                json!({ "jobId": pushed.job_id }),
            )
            .await;
            drop(slot);
            outcome
        });
        match step.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(PushError::Worker(error.to_string())),
            Err(error) => Err(PushError::Worker(error.to_string())),
        }
    }

    /// Sends the delivery again on the carrier in force, so that this one is done.
    async fn give_back(&self, pushed: &Pushed, delay_ms: i64) -> Result<(), PushError> {
        self.carrier
            .arrived(pushed.job_id, pushed.task.as_deref())
            .await?;
        let delivery = Delivery {
            queue: pushed.queue.clone(),
            worker: pushed.worker.clone(),
            job_id: pushed.job_id,
            delay_ms,
            priority: 0,
        };
        let txn = begin(&self.db).await?;
        self.carrier.deliver(&txn, &[delivery]).await?;
        txn.commit().await?;
        self.carrier.committed();
        Ok(())
    }
}
