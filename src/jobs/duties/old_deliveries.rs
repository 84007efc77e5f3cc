//! Duty: finished deliveries go after `queue.retention_days`; the jobs table is the history.

use std::sync::Arc;

use sea_orm::DbErr;

use super::{Bench, in_batches};
use crate::models::delivery_outbox;

/// One turn of the duty.
///
/// # Errors
/// When the database fails.
pub async fn run(bench: Arc<Bench>) -> Result<(), DbErr> {
    let days = i32::try_from(bench.settings.queue.retention_days).unwrap_or(i32::MAX);
    let carrier = bench.carrier.as_ref();
    let db = &bench.db;
    // A carrier that was in force before may have left an outbox behind.
    let deliveries = in_batches(|batch| carrier.purge(days, batch)).await?
        + in_batches(|batch| delivery_outbox::Entity::purge(db, days, batch)).await?;
    if deliveries > 0 {
        tracing::info!(deliveries, "finished deliveries were purged");
    }
    Ok(())
}
