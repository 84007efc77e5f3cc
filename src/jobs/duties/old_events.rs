//! Duty: events go after `jobs.event_retention_days`; until then late readers find them.

use std::sync::Arc;

use sea_orm::DbErr;

use super::{Bench, in_batches};
use crate::models::job_events;

/// One turn of the duty.
///
/// # Errors
/// When the database fails.
pub async fn run(bench: Arc<Bench>) -> Result<(), DbErr> {
    let days = i32::try_from(bench.settings.jobs.event_retention_days).unwrap_or(i32::MAX);
    let events = in_batches(|batch| job_events::Entity::purge(&bench.db, days, batch)).await?;
    if events > 0 {
        tracing::info!(events, "old events were purged");
    }
    Ok(())
}
