//! Duty: adds finished jobs to the totals, so that counters stay cheap to read.

use std::sync::Arc;

use sea_orm::DbErr;

use super::Bench;
use crate::models::job_totals;

/// Jobs added by one statement, and statements of one turn.
const BATCH: i64 = 20_000;
const BATCHES: u32 = 20;

/// One turn of the duty.
///
/// # Errors
/// When the database fails.
pub async fn run(bench: Arc<Bench>) -> Result<(), DbErr> {
    for _ in 0..BATCHES {
        let jobs = job_totals::Entity::roll_up(&bench.db, BATCH).await?;
        tracing::debug!(jobs, "finished jobs were added to the totals");
        if jobs < BATCH {
            break;
        }
    }
    Ok(())
}
