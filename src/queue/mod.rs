//! Carriers: what brings a delivery to a worker. A delivery says "there is work for this queue"; the
//! jobs table says which. Everything that names apalis is in `apalis.rs` and the files below it.

pub mod apalis;
pub mod wake;

use std::sync::Arc;

use async_trait::async_trait;
use loco_rs::app::AppContext;
use sea_orm::{DatabaseTransaction, DbErr, prelude::Uuid};

/// Names of the queues of generation jobs, one per job type (generation contract 10.1).
pub const GENERATION_QUEUES: [&str; 5] = [
    "image-generation-queue",
    "video-generation-queue",
    "image-upscale-queue",
    "batch-generation-queue",
    "scene-generation-queue",
];

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
