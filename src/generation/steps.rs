//! The steps that every result goes through, alone or in a batch: submit, look, fetch, store. What
//! they find out is persisted by their callers, each in its own row.

use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::{DateTime, FixedOffset, Utc};
use sea_orm::prelude::Uuid;

use super::{
    error::{FaultClass, ProviderError},
    measure::measured,
    pipeline::Pipeline,
    provider::{Output, Provider, Reference, Status, Submission, Task, Work},
    request::{Input, Kind},
};
use crate::{
    jobs::JobError,
    models::{jobs::Claimed, r2_files::NewFile},
    storage::{MediaKind, ObjectKey},
};

/// Looks right after a submission, so that fast upstreams are answered fast; later polls hold no
/// slot.
const FIRST_LOOKS: [Duration; 3] = [
    Duration::from_millis(300),
    Duration::from_millis(700),
    Duration::from_millis(1000),
];

/// Pause before a write that failed is repeated.
const PERSIST_AGAIN: Duration = Duration::from_millis(200);

/// One result of a job on its way into the bucket.
pub(super) struct Place<'a> {
    pub job: &'a Claimed,
    pub provider: &'a dyn Provider,
    pub input: &'a Input,
    pub upstream_model: &'a str,
    /// Which result of the job it is, from 1.
    pub n: usize,
}

/// Says to the operator that a provider refuses our key or account.
pub(super) fn alarm(provider: &str, error: &ProviderError) {
    if error.class == FaultClass::Operator {
        tracing::error!(
            provider.name = provider,
            error.detail = error.detail,
            "a provider refuses our key or account"
        );
    }
}

impl Pipeline {
    /// Submits work, and tells the breaker how that went.
    ///
    /// # Errors
    /// What the provider says.
    pub(super) async fn submit(
        &self,
        job: &Claimed,
        provider: &dyn Provider,
        work: &Work<'_>,
    ) -> Result<Submission, ProviderError> {
        let submitted = measured(&job.provider, "submit", provider.submit(work)).await;
        self.gates.observe(job, &submitted).await;
        submitted
    }

    /// Writes down what upstream was asked for, again and again while the database is away and the
    /// lease may hold: work that is paid for upstream and not known here would be paid for twice.
    ///
    /// # Errors
    /// What the write gives, at the latest once the lease has run out.
    pub(super) async fn persist<F>(&self, write: impl Fn() -> F) -> Result<(), JobError>
    where
        F: Future<Output = Result<(), JobError>>,
    {
        let begun = Instant::now();
        loop {
            match write().await {
                Err(JobError::Database(error)) if begun.elapsed() < self.settings.jobs.lease() => {
                    tracing::warn!(%error, "a submission could not be stored and is stored again");
                    tokio::time::sleep(PERSIST_AGAIN).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn poll(
        &self,
        job: &Claimed,
        provider: &dyn Provider,
        task: &Task,
    ) -> Result<Status, ProviderError> {
        let status = measured(&job.provider, "poll", provider.poll(task)).await;
        // That a look succeeds does not show that work is taken: only a submission does.
        if status.is_err() {
            self.gates.observe(job, &status).await;
        }
        status
    }

    /// Looks a few times at a task that was just submitted.
    ///
    /// # Errors
    /// What the provider says.
    pub(super) async fn first_looks(
        &self,
        job: &Claimed,
        provider: &dyn Provider,
        task: &Task,
    ) -> Result<Option<Vec<Output>>, ProviderError> {
        let interval = provider.pace().poll_interval;
        for pause in FIRST_LOOKS {
            tokio::time::sleep(pause.min(interval)).await;
            if let Status::Done(outputs) = self.poll(job, provider, task).await? {
                return Ok(Some(outputs));
            }
        }
        Ok(None)
    }

    /// Looks at a task that was submitted `since`.
    ///
    /// # Errors
    /// What the provider says, and when its budget is used up.
    pub(super) async fn look(
        &self,
        job: &Claimed,
        provider: &dyn Provider,
        task: &Task,
        since: Option<DateTime<FixedOffset>>,
    ) -> Result<Option<Vec<Output>>, ProviderError> {
        if let Status::Done(outputs) = self.poll(job, provider, task).await? {
            return Ok(Some(outputs));
        }
        let waited = since
            .and_then(|since| (Utc::now() - since.to_utc()).to_std().ok())
            .unwrap_or_default();
        if waited > provider.pace().budget {
            let detail = "the poll budget is used up";
            return Err(ProviderError::new(FaultClass::OutOfTime, detail));
        }
        Ok(None)
    }

    /// Ends a task upstream where the provider can; otherwise it runs out.
    pub(super) async fn cancel_upstream(&self, job: &Claimed, task: &Task) {
        let kind = Kind::of(&job.job_type);
        let Ok(provider) = self.registry.provider(&job.provider, kind) else {
            return;
        };
        if let Err(error) = provider.cancel(task).await {
            tracing::warn!(
                job.id = %job.id,
                provider.name = job.provider,
                error.detail = error.detail,
                "a cancelled task may go on upstream"
            );
        }
    }

    /// Reads the given pictures of a job from the bucket.
    pub(super) async fn references(&self, input: &Input) -> Result<Vec<Reference>, ProviderError> {
        let mut references = Vec::with_capacity(input.references.len());
        for stored in &input.references {
            let key = ObjectKey::parse(&stored.key)
                .map_err(|error| ProviderError::new(FaultClass::BadInput, error.to_string()))?;
            let bytes =
                self.storage.read(&key).await.map_err(|error| {
                    ProviderError::new(FaultClass::Transient, error.to_string())
                })?;
            references.push(Reference {
                bytes: bytes.into(),
                mime_type: stored.mime_type.clone(),
            });
        }
        Ok(references)
    }

    /// Fetches one result and stores it under its key, which is the same at every repeat.
    pub(super) async fn store(
        &self,
        place: &Place<'_>,
        output: Output,
    ) -> Result<NewFile, ProviderError> {
        let Place {
            job, input, n: no, ..
        } = place;
        let bytes = self.fetch(job, place.provider, output).await?;
        let media = MediaKind::of(&bytes)
            .filter(|media| input.kind.gives(*media))
            .ok_or_else(|| {
                let detail = format!("the result is not one of {}", input.kind.noun());
                ProviderError::new(FaultClass::BadUpstream, detail).forgetting_task()
            })?;
        let folder = input.kind.folder();
        let key = ObjectKey::of_job(folder, job.user_id, job.id, *no, media.extension());
        let file_size = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
        self.storage
            .put(&key, bytes, media.mime())
            .await
            .map_err(|error| ProviderError::new(FaultClass::Transient, error.to_string()))?;
        Ok(NewFile {
            id: Uuid::new_v4(),
            user_id: job.user_id,
            file_name: key.file_name().to_owned(),
            object_key: key.as_str().to_owned(),
            file_size,
            mime_type: media.mime().to_owned(),
            prompt: (!input.prompt.is_empty()).then(|| input.prompt.clone()),
            provider: Some(job.provider.clone()),
            model: Some(place.upstream_model.to_owned()),
            avatar_id: input.avatar_id.clone(),
            avatar_image_id: input.avatar_image_id.clone(),
            product_id: input.product_id.clone(),
            style_id: input.style_id.clone(),
            job_id: Some(job.id),
        })
    }

    async fn fetch(
        &self,
        job: &Claimed,
        provider: &dyn Provider,
        output: Output,
    ) -> Result<Bytes, ProviderError> {
        match output {
            Output::Bytes(bytes) => Ok(bytes),
            Output::Url(url) => {
                let policy = provider.result_policy(self.settings.generation.max_result_bytes);
                measured(&job.provider, "fetch", async {
                    Ok(self.fetcher.fetch(&url, &policy).await?.bytes)
                })
                .await
            }
        }
    }
}
