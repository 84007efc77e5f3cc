//! Duty: adds finished jobs to the totals, so that counters stay cheap to read.

use std::sync::Arc;

use sea_orm::DbErr;

use super::Bench;
use crate::models::job_totals;

/// One turn of the duty.
///
/// # Errors
/// When the database fails.
pub async fn run(bench: Arc<Bench>) -> Result<(), DbErr> {
    let jobs = job_totals::Entity::roll_up(&bench.db).await?;
    tracing::debug!(jobs, "finished jobs were added to the totals");
    Ok(())
}
