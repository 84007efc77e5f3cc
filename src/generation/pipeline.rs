//! One step of a job: submit, poll, fetch, store, settle. What each step finds out is stored before
//! the next begins, so that a crash anywhere is followed by going on, not by beginning again.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use chrono::Utc;
use loco_rs::app::AppContext;
use sea_orm::{DatabaseConnection, prelude::Uuid};
use serde_json::json;

use super::{
    error::{FaultClass, ProviderError},
    gates::Gates,
    measure::measured,
    provider::{Output, Provider, Reference, Status, Submission, Task, Work},
    registry::Registry,
    request::{ImageInput, public_options},
    retry::{Decision, decide},
};
use crate::{
    jobs::{
        JobError,
        cancel::{self, Cancelled},
        settle::{Completion, Failure, Settler},
    },
    models::{
        jobs::{Change, Claimed, Entity},
        r2_files::NewFile,
    },
    net::GuardedFetcher,
    queue::Carrier,
    realtime::Announcer,
    settings::Settings,
    storage::{Folder, ImageKind, ObjectKey, Storage},
};

/// Looks right after a submission, so that fast upstreams are answered fast; later polls hold no
/// slot.
const FIRST_LOOKS: [Duration; 3] = [
    Duration::from_millis(300),
    Duration::from_millis(700),
    Duration::from_millis(1000),
];

/// What the pipeline works with.
pub struct Pipeline {
    pub db: DatabaseConnection,
    pub carrier: Arc<dyn Carrier>,
    pub announcer: Announcer,
    pub settings: Arc<Settings>,
    pub storage: Arc<Storage>,
    pub registry: Arc<Registry>,
    pub fetcher: GuardedFetcher,
    pub gates: Gates,
}

/// Why a step ended without a result.
#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error(transparent)]
    Provider(#[from] ProviderError),
    #[error(transparent)]
    Job(#[from] JobError),
}

/// How far a step came.
enum Progress {
    Settled,
    WaitingFor(Duration),
}

impl Pipeline {
    /// The pipeline that boot put into the context.
    ///
    /// # Errors
    /// When the context was not made by this application's hooks.
    pub fn of(ctx: &AppContext) -> loco_rs::Result<Arc<Self>> {
        ctx.shared_store
            .get::<Arc<Self>>()
            .ok_or_else(|| loco_rs::Error::string("the pipeline is missing from the context"))
    }

    fn settler(&self) -> Settler<'_> {
        Settler {
            db: &self.db,
            carrier: self.carrier.as_ref(),
            announcer: &self.announcer,
            jobs: &self.settings.jobs,
        }
    }

    /// Works one step of a claimed image job and leaves it settled, waiting or retried.
    ///
    /// # Errors
    /// [`JobError::Stale`] when the claim was lost, database errors otherwise; the lease then runs
    /// out and another process goes on.
    pub async fn step(&self, job: &Claimed) -> Result<(), JobError> {
        if job.is_cancel_requested {
            return self.cancel(job).await;
        }
        match self.work(job).await {
            Ok(Progress::Settled) => Ok(()),
            Ok(Progress::WaitingFor(pause)) => {
                let delay_ms = millis(pause);
                self.settler()
                    .reschedule(job, &Change::wait(delay_ms), delay_ms)
                    .await
            }
            Err(StepError::Job(error)) => Err(error),
            Err(StepError::Provider(error)) => self.after_failure(job, &error).await,
        }
    }

    /// Cancels a job for its owner.
    ///
    /// # Errors
    /// See [`cancel::cancel`].
    pub async fn cancel_for_owner(
        &self,
        job_id: Uuid,
        user_id: Uuid,
    ) -> Result<Cancelled, JobError> {
        let prefix = ObjectKey::job_prefix(Folder::GeneratedImages, user_id, job_id);
        let carrier = self.carrier.as_ref();
        cancel::cancel(
            &self.db,
            carrier,
            &self.announcer,
            job_id,
            user_id,
            &[prefix],
        )
        .await
    }

    /// Ends a job that its owner does not want any more, upstream too where the provider can.
    ///
    /// # Errors
    /// See [`Settler::cancel`].
    pub async fn cancel(&self, job: &Claimed) -> Result<(), JobError> {
        // Read anew: the step that was interrupted may have submitted the work.
        let upstream = Entity::upstream_task(&self.db, job.id).await?;
        if let (Some((id, state)), Ok(provider)) = (upstream, self.registry.provider(&job.provider))
        {
            let task = Task { id, state };
            if let Err(error) = provider.cancel(&task).await {
                tracing::warn!(job.id = %job.id, provider.name = job.provider, error.detail = error.detail,
                    "a cancelled job may go on upstream");
            }
        }
        self.settler().cancel(job, &[result_prefix(job)]).await
    }

    /// Gives the job back because this process ends.
    ///
    /// # Errors
    /// See [`Settler::reschedule`].
    pub async fn hand_back(&self, job: &Claimed) -> Result<(), JobError> {
        self.settler()
            .reschedule(job, &Change::hand_back(), 0)
            .await
    }

    async fn work(&self, job: &Claimed) -> Result<Progress, StepError> {
        if job.rescues > self.settings.jobs.max_rescues {
            let detail = "its worker died too often";
            return Err(ProviderError::new(FaultClass::OutOfTime, detail).into());
        }
        if job.is_past_deadline {
            return Err(ProviderError::new(FaultClass::OutOfTime, "past its deadline").into());
        }
        let input: ImageInput = serde_json::from_value(job.input.clone())
            .map_err(|error| ProviderError::new(FaultClass::BadInput, error.to_string()))?;
        // A key taken away after admission: the job waits for its return or its deadline.
        let provider = self
            .registry
            .provider(&job.provider)
            .map_err(|error| ProviderError::new(FaultClass::RateLimited, error.to_string()))?;
        let outputs = match &job.upstream_id {
            Some(id) => {
                let task = Task {
                    id: id.clone(),
                    state: job.upstream.clone().unwrap_or_default(),
                };
                self.look(job, provider.as_ref(), &task).await?
            }
            None => self.begin(job, provider.as_ref(), &input).await?,
        };
        match outputs {
            None => Ok(Progress::WaitingFor(provider.pace().poll_interval)),
            Some(outputs) => {
                self.deliver(job, provider.as_ref(), &input, outputs)
                    .await?;
                Ok(Progress::Settled)
            }
        }
    }

    /// Submits the work and, when upstream takes its time, looks a few times.
    async fn begin(
        &self,
        job: &Claimed,
        provider: &dyn Provider,
        input: &ImageInput,
    ) -> Result<Option<Vec<Output>>, StepError> {
        let references = self.references(input).await?;
        let work = Work {
            input,
            references: &references,
        };
        let submitted = measured(&job.provider, "submit", provider.submit(&work)).await;
        self.gates.observe(job, &submitted).await;
        let task = match submitted? {
            Submission::Done(outputs) => return Ok(Some(outputs)),
            Submission::Accepted(task) => task,
        };
        self.settler()
            .note(job, &Change::submitted(&task.id, task.state.clone(), 25))
            .await?;
        tracing::info!(job.id = %job.id, provider.name = job.provider, "a job was submitted upstream");
        let interval = provider.pace().poll_interval;
        for pause in FIRST_LOOKS {
            tokio::time::sleep(pause.min(interval)).await;
            if let Status::Done(outputs) = self.poll(job, provider, &task).await? {
                return Ok(Some(outputs));
            }
        }
        Ok(None)
    }

    async fn poll(
        &self,
        job: &Claimed,
        provider: &dyn Provider,
        task: &Task,
    ) -> Result<Status, ProviderError> {
        let status = measured(&job.provider, "poll", provider.poll(task)).await;
        self.gates.observe(job, &status).await;
        status
    }

    /// Looks at a task that was submitted earlier.
    async fn look(
        &self,
        job: &Claimed,
        provider: &dyn Provider,
        task: &Task,
    ) -> Result<Option<Vec<Output>>, StepError> {
        if let Status::Done(outputs) = self.poll(job, provider, task).await? {
            return Ok(Some(outputs));
        }
        let waited = job
            .upstream_since
            .and_then(|since| (Utc::now() - since.to_utc()).to_std().ok())
            .unwrap_or_default();
        if waited > provider.pace().budget {
            return Err(
                ProviderError::new(FaultClass::OutOfTime, "the poll budget is used up").into(),
            );
        }
        Ok(None)
    }

    /// Fetches what upstream made, stores it and completes the job.
    async fn deliver(
        &self,
        job: &Claimed,
        provider: &dyn Provider,
        input: &ImageInput,
        outputs: Vec<Output>,
    ) -> Result<(), StepError> {
        self.settler()
            .note(job, &Change::progress(75, "storing"))
            .await?;
        let upstream_model = provider.upstream_model(input);
        let mut files = Vec::with_capacity(outputs.len());
        for (index, output) in outputs.into_iter().enumerate() {
            let n = index.saturating_add(1);
            let file = self
                .store(job, provider, input, &upstream_model, output, n)
                .await?;
            files.push(file);
        }
        let Some(first) = files.first() else {
            return Err(
                ProviderError::new(FaultClass::BadUpstream, "no picture in the answer")
                    .forgetting_task()
                    .into(),
            );
        };
        let result_key = first.object_key.clone();
        let stored: Vec<_> = files
            .iter()
            .map(|file| json!({"id": file.id, "key": file.object_key, "mimeType": file.mime_type}))
            .collect();
        let delivered = i64::try_from(files.len()).unwrap_or(i64::MAX);
        let usage_metadata = json!({
            "model": job.model,
            "images": delivered,
            "options": public_options(&input.options),
        });
        let completion = Completion {
            files,
            result: json!({ "files": stored }),
            result_key,
            warnings: None,
            captured: delivered.saturating_mul(self.settings.credits.prices.image),
            upstream_model,
            usage_metadata,
        };
        Ok(self.settler().complete(job, &completion).await?)
    }

    /// Stores one picture under its key, which is the same at every repeat.
    async fn store(
        &self,
        job: &Claimed,
        provider: &dyn Provider,
        input: &ImageInput,
        upstream_model: &str,
        output: Output,
        n: usize,
    ) -> Result<NewFile, StepError> {
        let bytes = self.fetch(job, provider, output).await?;
        let kind = ImageKind::of(&bytes).ok_or_else(|| {
            ProviderError::new(FaultClass::BadUpstream, "the result is no picture")
                .forgetting_task()
        })?;
        let key = ObjectKey::of_job(
            Folder::GeneratedImages,
            job.user_id,
            job.id,
            n,
            kind.extension(),
        );
        let file_size = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
        self.storage
            .put(&key, bytes, kind.mime())
            .await
            .map_err(|error| ProviderError::new(FaultClass::Transient, error.to_string()))?;
        Ok(NewFile {
            id: Uuid::new_v4(),
            user_id: job.user_id,
            file_name: key.file_name().to_owned(),
            object_key: key.as_str().to_owned(),
            file_size,
            mime_type: kind.mime().to_owned(),
            prompt: Some(input.prompt.clone()),
            provider: Some(job.provider.clone()),
            model: Some(upstream_model.to_owned()),
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

    async fn references(&self, input: &ImageInput) -> Result<Vec<Reference>, ProviderError> {
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

    async fn after_failure(&self, job: &Claimed, error: &ProviderError) -> Result<(), JobError> {
        if error.class == FaultClass::Operator {
            tracing::error!(
                provider.name = job.provider,
                error.detail = error.detail,
                "a provider refuses our key or account"
            );
        }
        let has_task = job.upstream_id.is_some();
        match decide(
            error,
            job.tries,
            job.claim_no,
            has_task,
            &self.settings.jobs,
        ) {
            Decision::Retry { delay, counts } => {
                let delay_ms = millis(delay);
                tracing::warn!(
                    job.id = %job.id,
                    provider.name = job.provider,
                    error.detail = error.detail,
                    tries = job.tries,
                    delay_ms,
                    "a step failed and is tried again"
                );
                let code = error.class.code();
                let change = if has_task && !counts && !error.forgets_task {
                    Change::look_again(delay_ms, code, &error.detail)
                } else {
                    Change::retry(delay_ms, counts, error.forgets_task, code, &error.detail)
                };
                self.settler().reschedule(job, &change, delay_ms).await
            }
            Decision::GiveUp => {
                let failure = Failure {
                    error: error.class.sentence().to_owned(),
                    code: error.class.code().to_owned(),
                    detail: error.detail.clone(),
                    object_prefixes: vec![result_prefix(job)],
                };
                self.settler().fail(job, &failure).await
            }
        }
    }
}

/// Where the results of a job are stored.
fn result_prefix(job: &Claimed) -> String {
    ObjectKey::job_prefix(Folder::GeneratedImages, job.user_id, job.id)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
