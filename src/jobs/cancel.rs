//! The owner ends a job: at once when nothing was begun for it, through its worker otherwise.

use sea_orm::{DatabaseConnection, DbErr, prelude::Uuid};

use super::{JobError, delivery_to, settle::drop_objects};
use crate::{
    models::{
        begin,
        job_items::{self, Fault},
        jobs::{Cancelling, Entity, JobStatus, is_final},
        object_deletions,
    },
    payments::ledger::{self, LedgerError},
    queue::Carrier,
    realtime::Announcer,
};

/// Looks at a job that workers change meanwhile.
const LOOKS: usize = 5;

/// How a wish to cancel was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// The job is cancelled and its credits are back.
    Now,
    /// Its worker ends it at its next step; it may still finish before.
    Soon,
}

/// Cancels a job of a user. `object_prefixes` are those of objects that its tries may have stored.
/// Asked again while the job is being ended, it answers the same.
///
/// # Errors
/// [`JobError::NotFound`], [`JobError::Final`]; nothing is written then.
pub async fn cancel(
    db: &DatabaseConnection,
    carrier: &dyn Carrier,
    announcer: &Announcer,
    job_id: Uuid,
    user_id: Uuid,
    object_prefixes: &[String],
) -> Result<Cancelled, JobError> {
    for _ in 0..LOOKS {
        let job = Entity::find_cancelling(db, job_id, user_id)
            .await?
            .ok_or(JobError::NotFound)?;
        if is_final(&job.status) {
            return Err(JobError::Final(job.status));
        }
        if job.status == JobStatus::Pending && !job.is_begun {
            if cancel_waiting(db, announcer, &job, job_id, user_id, object_prefixes).await? {
                tracing::info!(job.id = %job_id, user.id = %user_id, "a waiting job was cancelled");
                return Ok(Cancelled::Now);
            }
        } else if job.is_requested || request(db, carrier, announcer, &job, job_id, user_id).await?
        {
            return Ok(Cancelled::Soon);
        }
    }
    // Claimed and given back again and again meanwhile; the caller may ask once more.
    Err(JobError::Stale)
}

/// One transaction: credits back, state, objects. `false` when a worker was faster.
async fn cancel_waiting(
    db: &DatabaseConnection,
    announcer: &Announcer,
    job: &Cancelling,
    job_id: Uuid,
    user_id: Uuid,
    object_prefixes: &[String],
) -> Result<bool, JobError> {
    let txn = begin(db).await?;
    if job.cost > 0 {
        match ledger::release(&txn, job_id).await {
            Ok(_) => {}
            Err(LedgerError::NothingHeld(_)) => {
                txn.rollback().await?;
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        }
    }
    if !Entity::cancel_waiting(&txn, job_id, user_id).await? {
        txn.rollback().await?;
        return Ok(false);
    }
    // Items exist for batches only; without any this changes nothing.
    job_items::Entity::fail_open(&txn, job_id, &Fault::cancelled()).await?;
    drop_objects(&txn, object_prefixes).await?;
    if let Some(prefix) = &job.inputs_prefix {
        object_deletions::Entity::schedule(&txn, prefix, true, 0).await?;
    }
    announcer.commit(txn, [user_id]).await?;
    Ok(true)
}

/// Notes the wish; a job that no worker has is made due and gets a delivery. `false` when the job
/// ended meanwhile.
async fn request(
    db: &DatabaseConnection,
    carrier: &dyn Carrier,
    announcer: &Announcer,
    job: &Cancelling,
    job_id: Uuid,
    user_id: Uuid,
) -> Result<bool, DbErr> {
    let txn = begin(db).await?;
    let Some(is_leased) = Entity::request_cancel(&txn, job_id, user_id).await? else {
        txn.rollback().await?;
        return Ok(false);
    };
    if !is_leased && let Some(delivery) = delivery_to(&job.queue, job_id) {
        carrier.deliver(&txn, &[delivery]).await?;
    }
    announcer.commit(txn, [user_id]).await?;
    carrier.committed();
    tracing::info!(job.id = %job_id, user.id = %user_id, "a running job is to be cancelled");
    Ok(true)
}
