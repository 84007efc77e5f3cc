//! Duty: log-ins and refresh tokens go a day after they can give no session any more.

use std::sync::Arc;

use sea_orm::DbErr;

use super::{Bench, in_batches};
use crate::models::auth_sessions;

/// One turn of the duty.
///
/// # Errors
/// When the database fails.
pub async fn run(bench: Arc<Bench>) -> Result<(), DbErr> {
    let db = &bench.db;
    let sessions = in_batches(|batch| auth_sessions::Entity::purge(db, batch)).await?;
    let tokens = in_batches(|batch| auth_sessions::Entity::purge_tokens(db, batch)).await?;
    if sessions + tokens > 0 {
        tracing::info!(sessions, tokens, "expired log-ins were purged");
    }
    Ok(())
}
