//! Duty: the counters behind the limits are what they count. They are kept by every change of a job;
//! only a hand in the database, or a defect, can make them wrong. That stops no job, but limits are not
//! kept meanwhile.

use std::sync::Arc;

use sea_orm::DbErr;

use super::Bench;
use crate::models::{begin, provider_gates::Entity};

/// One turn of the duty: wrong counters are reported and counted anew.
///
/// # Errors
/// When the database fails.
pub async fn run(bench: Arc<Bench>) -> Result<(), DbErr> {
    for wrong in Entity::miscounts(&bench.db).await? {
        let txn = begin(&bench.db).await?;
        Entity::recount(&txn, &wrong).await?;
        txn.commit().await?;
        tracing::error!(
            user.id = wrong.user_id.map(tracing::field::display),
            provider.name = wrong.provider,
            "a counter of waiting or running jobs was wrong and was counted anew"
        );
    }
    Ok(())
}
