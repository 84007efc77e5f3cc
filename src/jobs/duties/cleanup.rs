//! Duty: purges what is finished and kept long enough. Objects are deleted by the storage task that
//! reads `object_deletions`.

use std::sync::Arc;

use sea_orm::DbErr;

use super::Bench;
use crate::models::{auth_sessions, delivery_outbox, job_events};

/// Rows deleted of one kind at one turn.
const BATCH: i64 = 1_000;
/// Days the event log is kept for late readers.
const EVENT_DAYS: i32 = 7;

/// One turn of the duty.
///
/// # Errors
/// When the database fails.
pub async fn run(bench: Arc<Bench>) -> Result<(), DbErr> {
    let days = i32::try_from(bench.settings.queue.retention_days).unwrap_or(i32::MAX);
    let deliveries = bench.carrier.purge(days, BATCH).await?
        + delivery_outbox::Entity::purge(&bench.db, days, BATCH).await?;
    let events = job_events::Entity::purge(&bench.db, EVENT_DAYS, BATCH).await?;
    let sessions = auth_sessions::Entity::purge(&bench.db, BATCH).await?;
    if deliveries + events + sessions > 0 {
        tracing::info!(deliveries, events, sessions, "finished rows were purged");
    }
    Ok(())
}
