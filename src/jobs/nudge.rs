//! An operator's nudge: a waiting job becomes due and gets a delivery.

use sea_orm::{DatabaseConnection, DbErr, prelude::Uuid};

use super::route;
use crate::{
    models::{
        begin,
        jobs::{Entity, Nudge},
    },
    queue::{Carrier, Delivery},
};

/// Makes a waiting job due now and sends a delivery for it, in one transaction. Pauses between tries and
/// between looks at a provider end so; limits, deadline and the number of tries stay as they are.
///
/// # Errors
/// When the database fails; nothing is changed then.
pub async fn nudge(
    db: &DatabaseConnection,
    carrier: &dyn Carrier,
    id: Uuid,
) -> Result<Nudge, DbErr> {
    let txn = begin(db).await?;
    let outcome = Entity::nudge(&txn, id).await?;
    if let Nudge::Due { job_type, user_id } = &outcome {
        let route = route(job_type);
        let delivery = Delivery {
            queue: route.queue.to_owned(),
            worker: route.worker.to_owned(),
            job_id: id,
            delay_ms: 0,
            priority: 0,
        };
        carrier.deliver(&txn, &[delivery]).await?;
        txn.commit().await?;
        tracing::info!(job.id = %id, user.id = %user_id, "an operator nudged a job");
    }
    Ok(outcome)
}
