//! Duty: log-ins and refresh tokens go a day after they can give no session any more; expired links,
//! sign-ins that nobody finished and empty limits go too.

use std::sync::Arc;

use sea_orm::DbErr;

use super::{Bench, in_batches};
use crate::models::{auth_flows, auth_sessions, one_time_tokens, rate_limits};

/// One turn of the duty.
///
/// # Errors
/// When the database fails.
pub async fn run(bench: Arc<Bench>) -> Result<(), DbErr> {
    let db = &bench.db;
    let sessions = in_batches(|batch| auth_sessions::Entity::purge(db, batch)).await?;
    let tokens = in_batches(|batch| auth_sessions::Entity::purge_tokens(db, batch)).await?;
    in_batches(|batch| one_time_tokens::Entity::purge(db, batch)).await?;
    in_batches(|batch| auth_flows::Entity::purge(db, batch)).await?;
    in_batches(|batch| rate_limits::Entity::purge(db, batch)).await?;
    if sessions + tokens > 0 {
        tracing::info!(sessions, tokens, "expired log-ins were purged");
    }
    Ok(())
}
