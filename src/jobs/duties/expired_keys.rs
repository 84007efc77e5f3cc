//! Duty: idempotency keys go when their answers are replayed no more.

use std::sync::Arc;

use sea_orm::DbErr;

use super::{Bench, in_batches};
use crate::models::idempotency_keys;

/// One turn of the duty.
///
/// # Errors
/// When the database fails.
pub async fn run(bench: Arc<Bench>) -> Result<(), DbErr> {
    let keys = in_batches(|batch| idempotency_keys::Entity::purge(&bench.db, batch)).await?;
    if keys > 0 {
        tracing::info!(keys, "expired idempotency keys were purged");
    }
    Ok(())
}
