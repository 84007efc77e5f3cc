//! The end of a batch: what is done is delivered and charged, the rest goes back.

use futures_util::future::join_all;
use serde_json::json;

use super::BatchInput;
use crate::{
    generation::{
        error::{FaultClass, ProviderError},
        pipeline::Pipeline,
        provider::Task,
        request::{Kind, public_options},
    },
    jobs::{JobError, settle::BatchEnd},
    models::{
        job_items::{Entity, Fault, Item, Tally},
        jobs::Claimed,
    },
    storage::ObjectKey,
};

/// What is said of one item that failed.
pub(super) fn fault_of(error: &ProviderError) -> Fault {
    Fault {
        error: error.class.item_sentence().to_owned(),
        code: error.class.code().to_owned(),
        detail: error.detail.clone(),
    }
}

impl Pipeline {
    /// Ends a batch because all its items are final, or because `cause` stops the others.
    pub(super) async fn end_batch(
        &self,
        job: &Claimed,
        cause: Option<&ProviderError>,
    ) -> Result<(), JobError> {
        let items = Entity::of_job(&self.db, job.id).await?;
        let failure = match cause {
            Some(error) => Fault {
                error: error.class.sentence().to_owned(),
                code: error.class.code().to_owned(),
                detail: error.detail.clone(),
            },
            None => failure_of(&items),
        };
        let rest = cause.map_or_else(|| failure.clone(), fault_of);
        let end = self.batch_end(job, &items, rest, failure);
        self.settler().end_batch(job, &end).await
    }

    /// Cancels a batch that this process has claimed: finished pictures stay and are charged, the
    /// rest of the hold goes back.
    ///
    /// # Errors
    /// [`JobError::Stale`] when the claim was lost; nothing is written then.
    pub async fn cancel_batch(&self, job: &Claimed) -> Result<(), JobError> {
        let items = Entity::of_job(&self.db, job.id).await?;
        let tasks = items
            .iter()
            .filter(|item| !item.is_final())
            .filter_map(|item| {
                Some(Task {
                    id: item.upstream_id.clone()?,
                    state: item.upstream.clone().unwrap_or_default(),
                })
            });
        join_all(tasks.map(|task| async move { self.cancel_upstream(job, &task).await })).await;
        let rest = Fault::cancelled();
        let end = BatchEnd {
            is_cancelled: true,
            ..self.batch_end(job, &items, rest.clone(), rest)
        };
        self.settler().end_batch(job, &end).await
    }

    fn batch_end(&self, job: &Claimed, items: &[Item], rest: Fault, failure: Fault) -> BatchEnd {
        let folder = Kind::of(&job.job_type).folder();
        let object_prefixes = (1..=items.len())
            .map(|n| ObjectKey::result_prefix(folder, job.user_id, job.id, n))
            .collect();
        let input: Option<BatchInput> = serde_json::from_value(job.input.clone()).ok();
        let picture = input.map(|input| input.picture).unwrap_or_default();
        // Without its key a provider cannot say what it calls the model.
        let upstream_model = self
            .registry
            .provider(&job.provider, Kind::of(&job.job_type))
            .map_or_else(
                |_| job.model.clone(),
                |provider| provider.upstream_model(&picture),
            );
        let tally = Tally::of(items);
        BatchEnd {
            is_cancelled: false,
            rest,
            failure,
            object_prefixes,
            upstream_model,
            usage_metadata: json!({
                "model": job.model,
                "images": tally.delivered,
                "prompts": tally.total,
                "options": public_options(&picture.options),
            }),
        }
    }
}

/// What is said of a batch of which nothing was delivered: the one reason that all items share, or
/// where to find the reasons.
fn failure_of(items: &[Item]) -> Fault {
    let mut codes: Vec<&str> = items
        .iter()
        .filter_map(|item| item.error_code.as_deref())
        .collect();
    codes.sort_unstable();
    codes.dedup();
    let detail = format!("all items failed: {}", codes.join(", "));
    let first = items.iter().find_map(|item| item.error_code.as_deref());
    let class = first
        .and_then(FaultClass::of_code)
        .unwrap_or(FaultClass::Transient);
    let error = if codes.len() > 1 {
        "None of the pictures could be made, for different reasons. Your credits were returned; the reason is given with each picture."
    } else {
        class.sentence()
    };
    Fault {
        error: error.to_owned(),
        code: class.code().to_owned(),
        detail,
    }
}
