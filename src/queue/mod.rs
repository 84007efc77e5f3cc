//! Carriers: what brings a delivery to a worker. A delivery says "there is work for this queue"; the
//! jobs table says which. Everything that names apalis is in `apalis.rs` and the files below it, and
//! everything about Cloud Tasks in `cloud_tasks.rs` and below.

pub mod apalis;
pub mod cloud_tasks;
pub mod handlers;
pub mod push;
pub mod wake;

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, FixedOffset};
use loco_rs::app::AppContext;
use sea_orm::{DatabaseTransaction, DbErr, FromQueryResult, prelude::Uuid};

/// Names of the queues of generation jobs, one per job type (generation contract 10.1).
pub const GENERATION_QUEUES: [&str; 5] = [
    "image-generation-queue",
    "video-generation-queue",
    "image-upscale-queue",
    "batch-generation-queue",
    "scene-generation-queue",
];

/// Queue of mails.
pub const MAIL_QUEUE: &str = "mailer";
/// Class of the worker that sends them.
pub const MAIL_WORKER: &str = "MailWorker";

/// Says to the mail worker that this mail waits. Only the carrier inside may have it.
#[must_use]
pub fn mail_delivery(mail_id: Uuid, delay_ms: i64) -> Delivery {
    Delivery {
        queue: MAIL_QUEUE.to_owned(),
        worker: MAIL_WORKER.to_owned(),
        job_id: mail_id,
        delay_ms,
        priority: 0,
    }
}

/// One delivery to send.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub queue: String,
    /// Class of the worker that takes it.
    pub worker: String,
    /// The job it was sent for; the worker may find a fairer one.
    pub job_id: Uuid,
    pub delay_ms: i64,
    /// Higher goes first.
    pub priority: i32,
}

/// A worker of some process, as it last reported to the carrier.
#[derive(Debug, Clone, FromQueryResult)]
pub struct WorkerBeat {
    /// Unique for each life of a worker.
    pub name: String,
    pub queue: String,
    pub last_seen_at: DateTime<FixedOffset>,
    /// Whether it has missed no more heartbeats than a live one may.
    pub is_alive: bool,
}

/// A delivery that is not finished.
#[derive(Debug, Clone, FromQueryResult)]
pub struct LiveDelivery {
    pub id: String,
    /// The carrier's own word.
    pub status: String,
    pub attempts: i32,
    pub run_at: DateTime<FixedOffset>,
    /// Who has taken it.
    pub worker: Option<String>,
}

/// Sends deliveries with the caller's transaction: commit sends them, roll-back does not.
#[async_trait]
pub trait Carrier: Send + Sync {
    /// Adds deliveries to the transaction.
    ///
    /// # Errors
    /// When the database fails.
    async fn deliver(
        &self,
        txn: &DatabaseTransaction,
        deliveries: &[Delivery],
    ) -> Result<(), DbErr>;

    /// How many deliveries of a queue are still to be handed out.
    ///
    /// # Errors
    /// When the database fails.
    async fn live_deliveries(&self, queue: &str) -> Result<i64, DbErr>;

    /// Which of these due jobs of a queue need another delivery, because none is left that could
    /// bring them to a worker.
    ///
    /// # Errors
    /// When the database fails.
    async fn undelivered(&self, queue: &str, due: Vec<Uuid>) -> Result<Vec<Uuid>, DbErr> {
        // A delivery serves any job of its queue, so counting is enough.
        let live = usize::try_from(self.live_deliveries(queue).await?).unwrap_or(usize::MAX);
        let missing = due.len().saturating_sub(live);
        Ok(due.into_iter().take(missing).collect())
    }

    /// A transaction with deliveries of this process was committed. Only a hint that saves waiting.
    fn committed(&self) {}

    /// The carrier of what never leaves this database: everything but generation jobs.
    fn inside(&self) -> &dyn Carrier;

    /// A delivery for this job arrived from outside; `task` is the carrier's name of it, if known.
    ///
    /// # Errors
    /// When the database fails.
    async fn arrived(&self, job_id: Uuid, task: Option<&str>) -> Result<(), DbErr> {
        let _ = (job_id, task);
        Ok(())
    }

    /// Whether deliveries of generation jobs leave this database.
    fn is_outside(&self) -> bool {
        false
    }

    /// The workers that the carrier knows of, of all processes; none when it keeps no such list.
    ///
    /// # Errors
    /// When the database fails.
    async fn workers(&self) -> Result<Vec<WorkerBeat>, DbErr> {
        Ok(Vec::new())
    }

    /// Unfinished deliveries of a queue that were sent for this job; another one may have it done.
    ///
    /// # Errors
    /// When the database fails.
    async fn deliveries_for(
        &self,
        _queue: &str,
        _job_id: Uuid,
    ) -> Result<Vec<LiveDelivery>, DbErr> {
        Ok(Vec::new())
    }

    /// Deletes finished deliveries older than `days`, at most `batch`.
    ///
    /// # Errors
    /// When the database fails.
    async fn purge(&self, days: i32, batch: i64) -> Result<u64, DbErr>;
}

/// The carrier in force.
///
/// # Errors
/// When the context was not made by this application's hooks.
pub fn carrier(ctx: &AppContext) -> loco_rs::Result<Arc<dyn Carrier>> {
    ctx.shared_store
        .get::<Arc<dyn Carrier>>()
        .ok_or_else(|| loco_rs::Error::string("the carrier is missing from the context"))
}
