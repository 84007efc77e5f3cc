//! One step of a job: submit, poll, fetch, store, settle. What each step finds out is stored before
//! the next begins, so that a crash anywhere is followed by going on, not by beginning again.

use std::{sync::Arc, time::Duration};

use loco_rs::app::AppContext;
use sea_orm::{DatabaseConnection, prelude::Uuid};
use serde_json::json;

use super::{
    error::{FaultClass, ProviderError},
    gates::Gates,
    provider::{Output, Provider, Submission, Task, Work},
    registry::Registry,
    request::{Input, Kind, public_options},
    retry::{Decision, decide},
    scenes::Scenes,
    steps::{Place, alarm},
};
use crate::{
    jobs::{
        JobError,
        cancel::{self, Cancelled},
        settle::{Completion, Failure, Settler},
    },
    models::jobs::{Change, Claimed, Entity, JobType},
    net::GuardedFetcher,
    queue::Carrier,
    realtime::Announcer,
    settings::Settings,
    storage::{Intake, ObjectKey, Storage},
};

/// What the pipeline works with.
#[derive(Clone)]
pub struct Pipeline {
    pub db: DatabaseConnection,
    pub carrier: Arc<dyn Carrier>,
    pub announcer: Announcer,
    pub settings: Arc<Settings>,
    pub storage: Arc<Storage>,
    pub intake: Arc<Intake>,
    pub registry: Arc<Registry>,
    pub fetcher: GuardedFetcher,
    pub gates: Arc<Gates>,
    pub scenes: Scenes,
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

    pub(super) fn settler(&self) -> Settler<'_> {
        Settler {
            db: &self.db,
            carrier: self.carrier.as_ref(),
            announcer: &self.announcer,
            jobs: &self.settings.jobs,
        }
    }

    /// Works one step of a claimed job and leaves it settled, waiting or retried.
    ///
    /// # Errors
    /// [`JobError::Stale`] when the claim was lost, database errors otherwise; the lease then runs
    /// out and another process goes on.
    pub async fn step(&self, job: &Claimed) -> Result<(), JobError> {
        self.gates.learn(job);
        if job.is_cancel_requested {
            return self.cancel(job).await;
        }
        match job.job_type {
            JobType::BatchGeneration => self.step_batch(job).await,
            JobType::ImageGeneration
            | JobType::VideoGeneration
            | JobType::ImageUpscale
            | JobType::SceneGeneration => self.step_single(job).await,
        }
    }

    async fn step_single(&self, job: &Claimed) -> Result<(), JobError> {
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
        // Its type is not known here; in the folders of other types there is nothing of it.
        let prefixes = [Kind::Image, Kind::Video, Kind::Upscale, Kind::Scene]
            .map(|kind| ObjectKey::job_prefix(kind.folder(), user_id, job_id));
        let carrier = self.carrier.as_ref();
        cancel::cancel(
            &self.db,
            carrier,
            &self.announcer,
            job_id,
            user_id,
            &prefixes,
        )
        .await
    }

    /// Ends a job that its owner does not want any more, upstream too where the provider can.
    ///
    /// # Errors
    /// See [`Settler::cancel`].
    pub async fn cancel(&self, job: &Claimed) -> Result<(), JobError> {
        if job.job_type == JobType::BatchGeneration {
            return self.cancel_batch(job).await;
        }
        // Read anew: the step that was interrupted may have submitted the work.
        let upstream = Entity::upstream_task(&self.db, job.id).await?;
        if let Some((id, state)) = upstream {
            self.cancel_upstream(job, &Task { id, state }).await;
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
        let mut input: Input = serde_json::from_value(job.input.clone())
            .map_err(|error| ProviderError::new(FaultClass::BadInput, error.to_string()))?;
        input.kind = Kind::of(&job.job_type);
        // A key taken away after admission: the job waits for its return or its deadline.
        let provider = self
            .registry
            .provider(&job.provider, input.kind)
            .map_err(|error| ProviderError::new(FaultClass::RateLimited, error.to_string()))?;
        let outputs = match &job.upstream_id {
            Some(id) => {
                let task = Task {
                    id: id.clone(),
                    state: job.upstream.clone().unwrap_or_default(),
                };
                self.look(job, provider.as_ref(), &task, job.upstream_since)
                    .await?
            }
            None => self.begin(job, provider.as_ref(), &input).await?,
        };
        match outputs {
            None => Ok(Progress::WaitingFor(
                provider.pace(input.kind).poll_interval,
            )),
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
        input: &Input,
    ) -> Result<Option<Vec<Output>>, StepError> {
        let (references, _share) = self.references(provider, input).await?;
        let work = Work {
            input,
            references: &references,
        };
        let task = match self.submit(job, provider, &work).await? {
            Submission::Done(outputs) => return Ok(Some(outputs)),
            Submission::Accepted(task) => task,
        };
        let change = Change::submitted(&task.id, task.state.clone(), 25);
        self.persist(|| async { self.settler().note(job, &change).await })
            .await?;
        tracing::info!(job.id = %job.id, provider.name = job.provider, "a job was submitted upstream");
        Ok(self.first_looks(job, provider, &task).await?)
    }

    /// Fetches what upstream made, stores it and completes the job.
    async fn deliver(
        &self,
        job: &Claimed,
        provider: &dyn Provider,
        input: &Input,
        mut outputs: Vec<Output>,
    ) -> Result<(), StepError> {
        self.settler()
            .note(job, &Change::progress(75, "storing"))
            .await?;
        let price = input.kind.price(&self.settings.credits.prices);
        // Credits are held for what was asked for; more than that is not taken.
        let asked = job.cost.checked_div(price).unwrap_or(i64::MAX).max(1);
        outputs.truncate(usize::try_from(asked).unwrap_or(usize::MAX));
        let upstream_model = provider.upstream_model(input);
        let mut files = Vec::with_capacity(outputs.len());
        for (index, output) in outputs.into_iter().enumerate() {
            let place = Place {
                job,
                provider,
                input,
                upstream_model: &upstream_model,
                n: index.saturating_add(1),
            };
            files.push(self.store(&place, output).await?);
        }
        let Some(first) = files.first() else {
            return Err(
                ProviderError::new(FaultClass::BadUpstream, "no result in the answer")
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
            captured: delivered.saturating_mul(price).min(job.cost),
            upstream_model,
            usage_metadata,
        };
        Ok(self.settler().complete(job, &completion).await?)
    }

    async fn after_failure(&self, job: &Claimed, error: &ProviderError) -> Result<(), JobError> {
        alarm(&job.provider, error);
        // The claim knows nothing of a task that this very step submitted.
        let has_task =
            job.upstream_id.is_some() || Entity::upstream_task(&self.db, job.id).await?.is_some();
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
    ObjectKey::job_prefix(Kind::of(&job.job_type).folder(), job.user_id, job.id)
}

/// Whole milliseconds.
pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
