//! Duty: every mail that is due has a live delivery, also after a killed process or a failed try.

use std::sync::Arc;

use sea_orm::DbErr;

use super::Bench;
use crate::{
    models::{begin, mails::Entity},
    queue::{Delivery, MAIL_QUEUE, mail_delivery},
};

/// Mails looked at in one turn.
const LOOK: i64 = 500;

/// One turn of the duty.
///
/// # Errors
/// When the database fails.
pub async fn run(bench: Arc<Bench>) -> Result<(), DbErr> {
    let due = Entity::due(&bench.db, LOOK).await?;
    if due.is_empty() {
        return Ok(());
    }
    let carrier = bench.carrier.inside();
    let missing = carrier.undelivered(MAIL_QUEUE, due).await?;
    if missing.is_empty() {
        return Ok(());
    }
    let deliveries: Vec<Delivery> = missing.iter().map(|id| mail_delivery(*id, 0)).collect();
    let txn = begin(&bench.db).await?;
    carrier.deliver(&txn, &deliveries).await?;
    txn.commit().await?;
    carrier.committed();
    tracing::debug!(
        missing = deliveries.len(),
        "mails without a delivery got a new one"
    );
    Ok(())
}
