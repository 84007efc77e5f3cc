//! Ending a step: job state, credits and files in one transaction each, with the deliveries that
//! follow. Locks are taken in the order reservation, credit accounts, job, event sequence.

mod batch;

use sea_orm::{ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr};
use serde_json::Value as Json;

use super::{JobError, delivery_to, route};
use crate::{
    models::{
        begin,
        jobs::{Change, Changed, Claimed, Entity, Yield},
        object_deletions,
        r2_files::NewFile,
    },
    payments::ledger::{self, LedgerError, Usage},
    queue::{Carrier, Delivery, GENERATION_QUEUES},
    realtime::Announcer,
    settings,
};

pub use batch::BatchEnd;

/// Milliseconds a deletion waits, so that an upload still under way is not missed.
const DELETION_GRACE_MS: i64 = 60_000;

/// What a settling needs beside the job.
pub struct Settler<'a> {
    pub db: &'a DatabaseConnection,
    pub carrier: &'a dyn Carrier,
    pub announcer: &'a Announcer,
    pub jobs: &'a settings::Jobs,
}

/// A finished job: what was delivered and what it costs.
#[derive(Debug)]
pub struct Completion {
    pub files: Vec<NewFile>,
    /// Private record of the stored objects.
    pub result: Json,
    /// Key of the first object.
    pub result_key: String,
    pub warnings: Option<Json>,
    /// Credits for what was delivered; the rest of the hold goes back.
    pub captured: i64,
    pub upstream_model: String,
    pub usage_metadata: Json,
}

/// A job that failed for good.
#[derive(Debug)]
pub struct Failure {
    /// The sentence for the owner.
    pub error: String,
    pub code: String,
    /// Private; never shown to the owner.
    pub detail: String,
    /// Object keys that begin so are deleted.
    pub object_prefixes: Vec<String>,
}

impl Settler<'_> {
    /// Completes a job: captures its credits, writes its files, and frees its slot, in one statement.
    ///
    /// # Errors
    /// [`JobError::Stale`] when the claim was lost; nothing is written then.
    pub async fn complete(&self, job: &Claimed, done: &Completion) -> Result<(), JobError> {
        let payment = (job.cost > 0).then(|| {
            let usage = Usage {
                provider: &job.provider,
                model: &done.upstream_model,
                prompt: job.prompt.as_deref(),
                metadata: done.usage_metadata.clone(),
            };
            ledger::capture_payment(job.id, done.captured.min(job.cost), &usage)
        });
        let gained = Yield {
            payment,
            files: &done.files,
            inputs_prefix: inputs_prefix(job),
        };
        let change = Change::complete(done.result.clone(), &done.result_key, done.warnings.clone());
        let max_running = self.jobs.max_running_per_user;
        let written = Entity::complete(self.db, job.fence(), &change, max_running, gained).await;
        // Not answered, it may have been written all the same.
        self.announcer.announce(job.user_id);
        let changed = written?.ok_or(JobError::Stale)?;
        tracing::info!(job.id = %job.id, user.id = %job.user_id, captured = done.captured, "a job was completed");
        if let Err(error) = self.send_followers(job, changed).await {
            tracing::warn!(job.id = %job.id, %error, "the jobs that it held back wait for the duty");
        }
        Ok(())
    }

    /// Sends the deliveries for jobs that a completed one held back. What is lost here a duty makes up for.
    async fn send_followers(&self, job: &Claimed, changed: Changed) -> Result<(), DbErr> {
        let deliveries = self.followers(self.db, job, changed).await?;
        if !deliveries.is_empty() {
            let txn = begin(self.db).await?;
            self.carrier.deliver(&txn, &deliveries).await?;
            self.announcer.commit(txn, None).await?;
        }
        self.carrier.committed();
        Ok(())
    }

    /// Fails a job for good: gives its credits back and has its objects deleted.
    ///
    /// # Errors
    /// [`JobError::Stale`] when the claim was lost; nothing is written then.
    pub async fn fail(&self, job: &Claimed, failure: &Failure) -> Result<(), JobError> {
        let change = Change::fail(&failure.error, &failure.code, &failure.detail);
        self.end_without_result(job, &change, &failure.object_prefixes)
            .await?;
        tracing::warn!(
            job.id = %job.id,
            user.id = %job.user_id,
            provider.name = job.provider,
            error.code = failure.code,
            error.detail = failure.detail,
            "a job failed"
        );
        Ok(())
    }

    /// Ends a job that its owner does not want any more: gives its credits back and has its objects
    /// deleted.
    ///
    /// # Errors
    /// [`JobError::Stale`] when the claim was lost; nothing is written then.
    pub async fn cancel(&self, job: &Claimed, object_prefixes: &[String]) -> Result<(), JobError> {
        self.end_without_result(job, &Change::cancel(), object_prefixes)
            .await?;
        tracing::info!(job.id = %job.id, user.id = %job.user_id, "a running job was cancelled");
        Ok(())
    }

    async fn end_without_result(
        &self,
        job: &Claimed,
        change: &Change,
        object_prefixes: &[String],
    ) -> Result<(), JobError> {
        let txn = begin(self.db).await?;
        if job.cost > 0 {
            settled(ledger::release(&txn, job.id).await)?;
        }
        self.finish(&txn, job, change).await?;
        drop_objects(&txn, object_prefixes).await?;
        self.drop_inputs(&txn, job).await?;
        self.announcer.commit(txn, [job.user_id]).await?;
        self.carrier.committed();
        Ok(())
    }

    /// Ends a step that is not the last one and sends the delivery for the next.
    ///
    /// # Errors
    /// [`JobError::Stale`] when the claim was lost; nothing is written then.
    pub async fn reschedule(
        &self,
        job: &Claimed,
        change: &Change,
        delay_ms: i64,
    ) -> Result<(), JobError> {
        let txn = begin(self.db).await?;
        self.send_again(&txn, job, change, delay_ms).await?;
        // Waiting for upstream is no news to anybody.
        let changed = change.is_visible().then_some(job.user_id);
        self.announcer.commit(txn, changed).await?;
        self.carrier.committed();
        Ok(())
    }

    /// Writes a change after which the job goes on, and sends the delivery for that. A job that was asked
    /// to end meanwhile goes on at once.
    async fn send_again(
        &self,
        txn: &DatabaseTransaction,
        job: &Claimed,
        change: &Change,
        delay_ms: i64,
    ) -> Result<(), JobError> {
        let (mut deliveries, changed) = self.change(txn, job, change).await?;
        let route = route(&job.job_type);
        deliveries.push(Delivery {
            queue: route.queue.to_owned(),
            worker: route.worker.to_owned(),
            job_id: job.id,
            delay_ms: if changed.is_cancel_requested {
                0
            } else {
                delay_ms
            },
            priority: 0,
        });
        self.carrier.deliver(txn, &deliveries).await?;
        Ok(())
    }

    /// Notes something about a job that goes on running.
    ///
    /// # Errors
    /// [`JobError::Stale`] when the claim was lost; nothing is written then.
    pub async fn note(&self, job: &Claimed, change: &Change) -> Result<(), JobError> {
        let max_running = self.jobs.max_running_per_user;
        Entity::transition(self.db, job.fence(), change, max_running)
            .await?
            .ok_or(JobError::Stale)?;
        self.announcer.announce(job.user_id);
        Ok(())
    }

    async fn finish(
        &self,
        txn: &DatabaseTransaction,
        job: &Claimed,
        change: &Change,
    ) -> Result<(), JobError> {
        let (deliveries, _) = self.change(txn, job, change).await?;
        self.carrier.deliver(txn, &deliveries).await?;
        Ok(())
    }

    /// Writes a change; gives the deliveries for jobs that were held back by a limit and may run now.
    async fn change(
        &self,
        txn: &DatabaseTransaction,
        job: &Claimed,
        change: &Change,
    ) -> Result<(Vec<Delivery>, Changed), JobError> {
        let max_running = self.jobs.max_running_per_user;
        let changed = Entity::transition(txn, job.fence(), change, max_running)
            .await?
            .ok_or(JobError::Stale)?;
        let deliveries = self.followers(txn, job, changed).await?;
        Ok((deliveries, changed))
    }

    /// The deliveries for jobs that were held back by a limit and may run now.
    async fn followers(
        &self,
        db: &impl ConnectionTrait,
        job: &Claimed,
        changed: Changed,
    ) -> Result<Vec<Delivery>, DbErr> {
        let (user, provider) = (job.user_id, &job.provider);
        let followers = Entity::followers(db, changed, user, provider, &GENERATION_QUEUES).await?;
        Ok(followers
            .iter()
            .filter_map(|follower| delivery_to(&follower.queue, follower.id))
            .collect())
    }

    /// Reference images are of no use once the job is final.
    async fn drop_inputs(&self, txn: &DatabaseTransaction, job: &Claimed) -> Result<(), JobError> {
        if let Some(prefix) = inputs_prefix(job) {
            object_deletions::Entity::schedule(txn, prefix, true, 0).await?;
        }
        Ok(())
    }
}

fn inputs_prefix(job: &Claimed) -> Option<&str> {
    job.input.get("inputsPrefix").and_then(Json::as_str)
}

/// A hold that was settled before means that another claim finished the job.
fn settled(outcome: Result<i64, LedgerError>) -> Result<i64, JobError> {
    outcome.map_err(|error| match error {
        LedgerError::NothingHeld(_) => JobError::Stale,
        other => JobError::Ledger(other),
    })
}

/// Has objects of an unfinished job deleted: now, and again when an upload still under way is over.
pub(super) async fn drop_objects(
    txn: &DatabaseTransaction,
    prefixes: &[String],
) -> Result<(), JobError> {
    for prefix in prefixes {
        object_deletions::Entity::schedule(txn, prefix, true, 0).await?;
        object_deletions::Entity::schedule(txn, prefix, true, DELETION_GRACE_MS).await?;
    }
    Ok(())
}
