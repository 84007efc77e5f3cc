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
    provider::{Output, Provider, Reference, ReferenceForm, Status, Submission, Task, Work},
    request::{Input, Kind},
};
use crate::{
    jobs::JobError,
    models::{jobs::Claimed, provider_gates::Call, r2_files::NewFile},
    net::Policy,
    settings::Secret,
    storage::{MediaKind, ObjectKey, Parts, Share, StorageError, UploadError, upload::PART_BYTES},
};

/// How long an address of a given picture lives beyond the generation that it is for: a batch
/// submits its items one after the other.
const ADDRESS_GRACE: Duration = Duration::from_mins(30);

/// Looks right after a submission, so that fast upstreams are answered fast; later polls hold no
/// slot.
const FIRST_LOOKS: [Duration; 3] = [
    Duration::from_millis(300),
    Duration::from_millis(700),
    Duration::from_millis(1000),
];

/// Bytes of memory for each byte of a given picture: itself, as base64, and that in a request.
const REFERENCE_WEIGHT: u64 = 4;

/// Pause before a write that failed is repeated.
const PERSIST_AGAIN: Duration = Duration::from_millis(200);
/// A provider that is looked at no more often than this says nothing new in the first seconds.
const RARELY: Duration = Duration::from_secs(5);

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
        self.gates.observe(job, Call::Submit, &submitted).await;
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
        self.gates.observe(job, Call::Poll, &status).await;
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
        let kind = Kind::of(&job.job_type);
        let interval = provider.pace(kind).poll_interval;
        if interval >= RARELY {
            return Ok(None);
        }
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
        if waited > provider.pace(Kind::of(&job.job_type)).budget {
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

    /// The given pictures of a job in the form that its provider takes: read from the bucket, with their
    /// share of the memory, which is kept for as long as they are; or as addresses that are signed for
    /// the length of a generation. Addresses go to the provider only.
    pub(super) async fn references(
        &self,
        provider: &dyn Provider,
        input: &Input,
    ) -> Result<(Vec<Reference>, Share), ProviderError> {
        let failed =
            |error: StorageError| ProviderError::new(FaultClass::Transient, error.to_string());
        let share = match provider.reference_form() {
            ReferenceForm::Address { .. } => Share::none(),
            ReferenceForm::Bytes => {
                let sizes = input.references.iter().map(|stored| stored.size);
                let weight = sizes.sum::<u64>().saturating_mul(REFERENCE_WEIGHT);
                let share = self.intake.share_of_work(weight).await;
                share.map_err(|error| {
                    ProviderError::new(FaultClass::RateLimited, error.to_string())
                })?
            }
        };
        let mut references = Vec::with_capacity(input.references.len());
        for stored in &input.references {
            let key = ObjectKey::parse(&stored.key)
                .map_err(|error| ProviderError::new(FaultClass::BadInput, error.to_string()))?;
            let (bytes, url) = match provider.reference_form() {
                ReferenceForm::Bytes => (self.storage.read(&key).await.map_err(failed)?, None),
                ReferenceForm::Address { .. } => {
                    let life = provider
                        .pace(input.kind)
                        .budget
                        .saturating_add(ADDRESS_GRACE);
                    let url = self.storage.presign_get(&key, life).await.map_err(failed)?;
                    (Vec::new(), Some(Secret::from(url)))
                }
            };
            references.push(Reference {
                bytes: bytes.into(),
                mime_type: stored.mime_type.clone(),
                url,
            });
        }
        Ok((references, share))
    }

    /// Fetches one result and stores it under its key, which is the same at every repeat.
    pub(super) async fn store(
        &self,
        place: &Place<'_>,
        output: Output,
    ) -> Result<NewFile, ProviderError> {
        let Place { job, input, .. } = place;
        let stored = match output {
            Output::Bytes(bytes) => self.store_bytes(place, bytes).await?,
            Output::Url(url) => {
                let policy = place
                    .provider
                    .result_policy(self.max_result_bytes(input.kind));
                let stored = self.store_url(place, &url, &policy);
                measured(&job.provider, "fetch", stored).await?
            }
        };
        Ok(NewFile {
            id: Uuid::new_v4(),
            user_id: job.user_id,
            file_name: stored.key.file_name().to_owned(),
            object_key: stored.key.as_str().to_owned(),
            file_size: i64::try_from(stored.size_bytes).unwrap_or(i64::MAX),
            mime_type: stored.media.mime().to_owned(),
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

    /// Largest result that is fetched, bytes.
    fn max_result_bytes(&self, kind: Kind) -> u64 {
        let limits = &self.settings.generation;
        match kind {
            Kind::Video => limits.max_video_bytes,
            Kind::Image | Kind::Upscale | Kind::Scene => limits.max_result_bytes,
        }
    }

    async fn store_bytes(&self, place: &Place<'_>, bytes: Bytes) -> Result<Stored, ProviderError> {
        let (media, key) = place.media_and_key(&bytes)?;
        let size_bytes = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let put = self.storage.put(&key, bytes, media.mime()).await;
        put.map_err(|error| ProviderError::new(FaultClass::Transient, error.to_string()))?;
        Ok(Stored {
            media,
            key,
            size_bytes,
        })
    }

    /// Streams a result from its address into the bucket. The type is told by the first part; only a
    /// part of it is in memory at any time, and nothing is left of one that is cut.
    async fn store_url(
        &self,
        place: &Place<'_>,
        url: &str,
        policy: &Policy,
    ) -> Result<Stored, ProviderError> {
        let mut opened = self.fetcher.open(url, policy).await?;
        let mut parts = Parts::new(&mut opened.body);
        let first = parts.next().await?;
        let (media, key) = place.media_and_key(&first)?;
        if first.len() == PART_BYTES {
            // A worker that died may have left its own beginning.
            self.storage.abort_uploads(key.as_str()).await;
        }
        let put = self.storage.put_parts(&key, first, parts, media.mime());
        let size_bytes = put.await.map_err(|error| match error {
            UploadError::Body(error) => error.into(),
            UploadError::Storage(error) => {
                ProviderError::new(FaultClass::Transient, error.to_string())
            }
        })?;
        Ok(Stored {
            media,
            key,
            size_bytes,
        })
    }
}

/// A result in the bucket.
struct Stored {
    media: MediaKind,
    key: ObjectKey,
    size_bytes: u64,
}

impl Place<'_> {
    /// What a result is by its first bytes, and where it goes.
    fn media_and_key(&self, bytes: &[u8]) -> Result<(MediaKind, ObjectKey), ProviderError> {
        let (job, kind) = (self.job, self.input.kind);
        let media = MediaKind::of(bytes)
            .filter(|media| kind.gives(*media))
            .ok_or_else(|| {
                let detail = format!("the result is not one of {}", kind.noun());
                ProviderError::new(FaultClass::BadUpstream, detail).forgetting_task()
            })?;
        let folder = kind.folder();
        let key = ObjectKey::of_job(folder, job.user_id, job.id, self.n, media.extension());
        Ok((media, key))
    }
}
