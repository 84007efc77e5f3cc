//! Admission: credit hold, job row with its event, and delivery, in one transaction of three
//! statements; one more for the items of a batch, and one more for an idempotency key. What is refused
//! leaves nothing behind.

use sea_orm::{DatabaseConnection, DbErr, prelude::Uuid};

use super::{JobError, route};
use crate::{
    models::{
        begin,
        idempotency_keys::{self, Record},
        job_items,
        jobs::{Entity, NewJob},
    },
    payments::ledger::{self, Hold},
    queue::{Carrier, Delivery},
    realtime::Announcer,
    settings::Settings,
};

/// How long an admission whose commit was not answered may take to end, milliseconds.
const LATE_COMMIT_MS: u32 = 10_000;

/// Admits a job. With `record`, the answer of its request is stored under its idempotency key in the
/// same transaction.
///
/// # Errors
/// [`JobError::KeyTaken`] first, then
/// [`LedgerError::Insufficient`](ledger::LedgerError::Insufficient), then [`JobError::QueueFull`];
/// nothing is written in these cases. [`JobError::Undecided`] when the database
/// went away in the very moment of the commit.
pub async fn admit(
    db: &DatabaseConnection,
    carrier: &dyn Carrier,
    announcer: &Announcer,
    settings: &Settings,
    job: NewJob,
    record: Option<&Record>,
) -> Result<(), JobError> {
    let txn = begin(db).await?;
    // The key goes first: a repeat must not wait for the accounts that the first request has locked.
    if let Some(record) = record
        && !idempotency_keys::Entity::record(&txn, record).await?
    {
        txn.rollback().await?;
        return Err(JobError::KeyTaken);
    }
    if job.cost > 0 {
        ledger::hold(
            &txn,
            Hold {
                user_id: job.user_id,
                job_id: job.id,
                amount: job.cost,
                grace: settings.credits.grace,
                expires_in_ms: job.deadline_ms,
            },
        )
        .await?;
    }
    let max_queued = settings.jobs.max_queued_per_user;
    if !Entity::insert_within_limit(&txn, &job, max_queued).await? {
        txn.rollback().await?;
        return Err(JobError::QueueFull { max_queued });
    }
    if !job.prompts.is_empty() {
        job_items::Entity::insert_all(&txn, job.id, &job.prompts).await?;
    }
    let delivery = Delivery {
        queue: job.queue.clone(),
        worker: route(&job.r#type).worker.to_owned(),
        job_id: job.id,
        delay_ms: 0,
        priority: 0,
    };
    carrier.deliver(&txn, &[delivery]).await?;
    if let Err(error) = announcer.commit(txn, [job.user_id]).await {
        // The answer may have been lost after the commit was written. Telling the client that it
        // failed would make it ask, and pay, a second time.
        tracing::warn!(job.id = %job.id, %error, "the commit of an admission was not answered");
        match was_admitted(db, job.id, job.user_id).await {
            Ok(true) => {}
            Ok(false) => return Err(error.into()),
            Err(error) => {
                tracing::warn!(job.id = %job.id, %error, "whether it was written cannot be told");
                return Err(JobError::Undecided(job.id));
            }
        }
    }
    carrier.committed();
    tracing::info!(
        job.id = %job.id,
        user.id = %job.user_id,
        provider.name = job.provider,
        cost = job.cost,
        "a job was admitted"
    );
    Ok(())
}

/// Whether a job was admitted whose commit was not answered. The admission holds the row of its user
/// in `event_sequences` until it has ended one way or the other, so this waits for that row first: a
/// commit that is written late is not missed.
///
/// # Errors
/// When the database cannot be asked, or the admission does not end in time.
pub async fn was_admitted(
    db: &DatabaseConnection,
    job_id: Uuid,
    user_id: Uuid,
) -> Result<bool, DbErr> {
    let txn = begin(db).await?;
    Entity::await_changes_of(&txn, user_id, LATE_COMMIT_MS).await?;
    let job = Entity::find_for_user(&txn, job_id, user_id).await?;
    txn.rollback().await?;
    Ok(job.is_some())
}
