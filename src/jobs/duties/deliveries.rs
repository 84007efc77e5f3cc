//! Duty: every due job has a live delivery. Deliveries get lost against limits, with killed
//! processes, and when the carrier changes; this is what brings their jobs back.

use std::sync::Arc;

use sea_orm::DbErr;

use super::Bench;
use crate::{
    jobs::delivery_for_any,
    models::{begin, jobs::Entity},
    queue::GENERATION_QUEUES,
};

/// Deliveries sent for one queue at one turn.
const BATCH: i64 = 200;

/// One turn of the duty.
///
/// # Errors
/// When the database fails.
pub async fn run(bench: Arc<Bench>) -> Result<(), DbErr> {
    for queue in GENERATION_QUEUES {
        let Some(delivery) = delivery_for_any(queue) else {
            continue;
        };
        let live = bench.carrier.live_deliveries(queue).await?;
        let max_running = bench.settings.jobs.max_running_per_user;
        let missing = Entity::missing_deliveries(&bench.db, queue, max_running, live)
            .await?
            .min(BATCH);
        if missing == 0 {
            continue;
        }
        let count = usize::try_from(missing).unwrap_or_default();
        let txn = begin(&bench.db).await?;
        bench.carrier.deliver(&txn, &vec![delivery; count]).await?;
        txn.commit().await?;
        tracing::info!(queue, missing, "due jobs without a delivery got a new one");
    }
    Ok(())
}
