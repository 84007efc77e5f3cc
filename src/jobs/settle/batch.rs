//! Settling of batches: an item's completion, and the end of the whole. The same rules as for other
//! jobs: one transaction each, locks in the order reservation, credit accounts, job, event sequence;
//! items come after their job.

use super::{DELETION_GRACE_MS, Settler, settled};
use crate::{
    jobs::JobError,
    models::{
        begin,
        job_items::{self, Fault, ItemChange, ItemStatus, Tally, outcome},
        jobs::{Change, Claimed, Entity},
        object_deletions,
        r2_files::{self, NewFile},
    },
    payments::ledger::{self, Usage},
};
use serde_json::Value as Json;

/// Times that an end begins again because an item changed under it.
const END_TRIES: u32 = 5;

/// How a batch ends and what belongs to that.
#[derive(Debug)]
pub struct BatchEnd {
    /// CANCELLED whatever was delivered; otherwise COMPLETED with something, FAILED with nothing.
    pub is_cancelled: bool,
    /// What is said of items that are not final yet.
    pub rest: Fault,
    /// What is said of the batch when nothing was delivered and it was not cancelled.
    pub failure: Fault,
    /// How the object keys of each item's result begin, in the order of the items: what failed items
    /// left behind is deleted.
    pub object_prefixes: Vec<String>,
    pub upstream_model: String,
    pub usage_metadata: Json,
}

impl Settler<'_> {
    /// Notes something about an item that goes on.
    ///
    /// # Errors
    /// [`JobError::Stale`] when the claim was lost; nothing is written then.
    pub async fn note_item(
        &self,
        job: &Claimed,
        position: i32,
        change: &ItemChange,
    ) -> Result<(), JobError> {
        if job_items::Entity::change(self.db, job.fence(), position, change).await? {
            Ok(())
        } else {
            Err(JobError::Stale)
        }
    }

    /// Ends an item, delivered with its file or failed, together with the progress of the batch and
    /// its event.
    ///
    /// # Errors
    /// [`JobError::Stale`] when the claim was lost; nothing is written then.
    pub async fn end_item(
        &self,
        job: &Claimed,
        position: i32,
        end: Result<&NewFile, &Fault>,
    ) -> Result<(), JobError> {
        let txn = begin(self.db).await?;
        let change = match end {
            Ok(file) => ItemChange::complete(file),
            Err(fault) => ItemChange::fail(fault),
        };
        if !job_items::Entity::change(&txn, job.fence(), position, &change).await? {
            txn.rollback().await?;
            return Err(JobError::Stale);
        }
        if let Ok(file) = end {
            r2_files::Entity::insert(&txn, file).await?;
        }
        let items = job_items::Entity::of_job(&txn, job.id).await?;
        let progress = Tally::of(&items).progress();
        let change = Change::batch_progress(progress, outcome(&items));
        let max_running = self.jobs.max_running_per_user;
        Entity::transition(&txn, job.fence(), &change, max_running)
            .await?
            .ok_or(JobError::Stale)?;
        self.announcer.commit(txn, [job.user_id]).await?;
        Ok(())
    }

    /// Ends a step of a batch that goes on: when each waiting item is due, given with its delay in
    /// milliseconds, and the delivery for the next step.
    ///
    /// # Errors
    /// [`JobError::Stale`] when the claim was lost; nothing is written then.
    pub async fn reschedule_batch(
        &self,
        job: &Claimed,
        due: &[(i32, i64)],
        delay_ms: i64,
    ) -> Result<(), JobError> {
        let txn = begin(self.db).await?;
        let change = Change::wait(delay_ms);
        self.send_again(&txn, job, &change, delay_ms).await?;
        if !due.is_empty() {
            job_items::Entity::schedule(&txn, job.id, due).await?;
        }
        let changed = change.is_visible().then_some(job.user_id);
        self.announcer.commit(txn, changed).await?;
        self.carrier.committed();
        Ok(())
    }

    /// Ends a batch: what was delivered is charged and kept, the rest of the hold goes back, open
    /// items fail, and the slot is freed.
    ///
    /// # Errors
    /// [`JobError::Stale`] when the claim was lost; nothing is written then.
    pub async fn end_batch(&self, job: &Claimed, end: &BatchEnd) -> Result<(), JobError> {
        for _ in 0..END_TRIES {
            if self.try_end_batch(job, end).await? {
                return Ok(());
            }
        }
        Err(JobError::Stale)
    }

    /// The delivered items are counted before the money moves, because the accounts are locked before
    /// the job. A commit of an item that was dropped half-way may still arrive in between; then
    /// nothing is written and `false` given.
    async fn try_end_batch(&self, job: &Claimed, end: &BatchEnd) -> Result<bool, JobError> {
        let txn = begin(self.db).await?;
        let mut items = job_items::Entity::of_job(&txn, job.id).await?;
        let tally = Tally::of(&items);
        let price = job.cost.checked_div(tally.total).unwrap_or_default();
        let captured = price.saturating_mul(tally.delivered);
        if job.cost > 0 && tally.delivered > 0 {
            let prompts: Vec<&str> = items
                .iter()
                .filter(|item| item.status == ItemStatus::Completed)
                .map(|item| item.prompt.as_str())
                .collect();
            let prompts = prompts.join("\n");
            let usage = Usage {
                provider: &job.provider,
                model: &end.upstream_model,
                prompt: Some(&prompts),
                metadata: end.usage_metadata.clone(),
            };
            settled(ledger::capture(&txn, job.id, captured, &usage).await)?;
        } else if job.cost > 0 {
            settled(ledger::release(&txn, job.id).await)?;
        }
        for item in items.iter_mut().filter(|item| !item.is_final()) {
            item.status = ItemStatus::Failed;
            item.error = Some(end.rest.error.clone());
            item.error_code = Some(end.rest.code.clone());
        }
        let result = outcome(&items);
        let first_key = items.iter().find_map(|item| item.object_key.as_deref());
        let change = match first_key {
            first if end.is_cancelled => Change::batch_cancelled(result, first, &end.rest.code),
            Some(key) => Change::batch_completed(result, key),
            None => {
                let Fault {
                    error,
                    code,
                    detail,
                } = &end.failure;
                Change::batch_failed(result, error, code, detail)
            }
        };
        self.finish(&txn, job, &change).await?;
        job_items::Entity::fail_open(&txn, job.id, &end.rest).await?;
        let now = Tally::of(&job_items::Entity::of_job(&txn, job.id).await?);
        if now.delivered != tally.delivered {
            txn.rollback().await?;
            return Ok(false);
        }
        let left_behind: Vec<String> = items
            .iter()
            .zip(&end.object_prefixes)
            .filter(|(item, _)| item.status == ItemStatus::Failed)
            .map(|(_, prefix)| prefix.clone())
            .collect();
        if !left_behind.is_empty() {
            let later = left_behind.clone();
            object_deletions::Entity::schedule_prefixes(&txn, left_behind, 0).await?;
            object_deletions::Entity::schedule_prefixes(&txn, later, DELETION_GRACE_MS).await?;
        }
        self.drop_inputs(&txn, job).await?;
        self.announcer.commit(txn, [job.user_id]).await?;
        self.carrier.committed();
        tracing::info!(
            job.id = %job.id,
            user.id = %job.user_id,
            provider.name = job.provider,
            total = tally.total,
            delivered = tally.delivered,
            captured,
            "a batch ended"
        );
        Ok(true)
    }
}
