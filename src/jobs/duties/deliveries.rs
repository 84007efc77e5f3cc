//! Duty: every due job has a live delivery. Deliveries get lost against limits, with killed
//! processes, and when the carrier changes; this is what brings their jobs back.

use std::sync::Arc;

use sea_orm::DbErr;

use super::Bench;
use crate::{
    jobs::delivery_to,
    models::{begin, jobs::Entity},
    queue::{Delivery, GENERATION_QUEUES},
};

/// Deliveries sent for one queue at one turn.
const BATCH: usize = 200;
/// Due jobs of one queue that are looked at in one turn.
const LOOK: i64 = 2_000;

/// One turn of the duty.
///
/// # Errors
/// When the database fails.
pub async fn run(bench: Arc<Bench>) -> Result<(), DbErr> {
    for queue in GENERATION_QUEUES {
        let max_running = bench.settings.jobs.max_running_per_user;
        let due = Entity::due(&bench.db, queue, max_running, LOOK).await?;
        if due.is_empty() {
            continue;
        }
        let mut missing = bench.carrier.undelivered(queue, due).await?;
        missing.truncate(BATCH);
        let deliveries: Vec<Delivery> = missing
            .into_iter()
            .filter_map(|job_id| delivery_to(queue, job_id))
            .collect();
        if deliveries.is_empty() {
            continue;
        }
        let txn = begin(&bench.db).await?;
        bench.carrier.deliver(&txn, &deliveries).await?;
        txn.commit().await?;
        bench.carrier.committed();
        tracing::info!(
            queue,
            missing = deliveries.len(),
            "due jobs without a delivery got a new one"
        );
    }
    Ok(())
}
