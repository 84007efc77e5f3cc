//! One item of a batch: submit or look, fetch, store, end. What is found out is kept with the item
//! before the next step begins.

use std::time::Duration;

use chrono::Utc;
use tokio::sync::{Mutex, MutexGuard, OnceCell};

use super::end::fault_of;
use crate::{
    generation::{
        error::{FaultClass, ProviderError},
        pipeline::{Pipeline, millis},
        provider::{Output, Provider, Reference, Submission, Task, Work},
        request::{Input, Kind},
        retry::{Decision, decide},
        steps::{Place, alarm},
    },
    jobs::JobError,
    models::{
        job_items::{Fault, Item, ItemChange},
        jobs::Claimed,
        provider_gates::Passage,
        r2_files::NewFile,
    },
    storage::Share,
};

/// What the items of one step have in common.
pub(super) struct Bench<'a> {
    pub pipeline: &'a Pipeline,
    pub job: &'a Claimed,
    pub provider: &'a dyn Provider,
    pub picture: &'a Input,
    pub upstream_model: &'a str,
    /// Read from the bucket once, by the first item that is submitted.
    pub references: OnceCell<(Vec<Reference>, Share)>,
    /// Writes of one batch wait for each other in the database anyway; waiting here, they take one
    /// connection instead of one for each item.
    pub pen: Mutex<()>,
    /// Held by the item that tries a provider out.
    pub probe: Mutex<()>,
}

/// How an item stands after it was worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stand {
    /// It is upstream; the next look is due after this time.
    Upstream(Duration),
    /// It is tried again after this time, with the whole batch told to wait as long or not.
    Waiting {
        pause: Duration,
        for_all: bool,
    },
    Final,
}

#[derive(Debug, thiserror::Error)]
enum ItemError {
    #[error(transparent)]
    Provider(#[from] ProviderError),
    #[error(transparent)]
    Job(#[from] JobError),
}

impl Bench<'_> {
    /// Works on one item as far as it goes now, and keeps `item` as its row is.
    pub(super) async fn work(&self, item: &mut Item) -> Result<Stand, JobError> {
        match self.try_work(item).await {
            Ok(stand) => Ok(stand),
            Err(ItemError::Job(error)) => Err(error),
            Err(ItemError::Provider(error)) => self.after_failure(item, &error).await,
        }
    }

    async fn try_work(&self, item: &mut Item) -> Result<Stand, ItemError> {
        let outputs = match &item.upstream_id {
            Some(id) => {
                let task = Task {
                    id: id.clone(),
                    state: item.upstream.clone().unwrap_or_default(),
                };
                let since = item.upstream_since;
                self.pipeline
                    .look(self.job, self.provider, &task, since)
                    .await?
            }
            None => self.begin(item).await?,
        };
        let Some(outputs) = outputs else {
            return Ok(Stand::Upstream(
                self.provider.pace(Kind::Image).poll_interval,
            ));
        };
        self.deliver(item, outputs).await?;
        Ok(Stand::Final)
    }

    /// Submits the item and looks a few times.
    async fn begin(&self, item: &mut Item) -> Result<Option<Vec<Output>>, ItemError> {
        let pipeline = self.pipeline;
        let (references, _share) = self
            .references
            .get_or_try_init(|| pipeline.references(self.provider, self.picture))
            .await?;
        let probe = self.heed_breaker().await?;
        let input = self.input(item);
        let work = Work {
            input: &input,
            references,
        };
        let submitted = pipeline.submit(self.job, self.provider, &work).await;
        drop(probe);
        let task = match submitted? {
            Submission::Done(outputs) => return Ok(Some(outputs)),
            Submission::Accepted(task) => task,
        };
        let pause = millis(self.provider.pace(Kind::Image).poll_interval);
        let change = ItemChange::submitted(&task.id, task.state.clone(), pause);
        let position = &*item;
        pipeline
            .persist(|| async { self.note(position, &change).await })
            .await?;
        item.attempts = item.attempts.saturating_add(1);
        item.upstream_id = Some(task.id.clone());
        item.upstream = Some(task.state.clone());
        item.upstream_since = Some(Utc::now().fixed_offset());
        tracing::info!(
            job.id = %self.job.id,
            item = item.position,
            provider.name = self.job.provider,
            "an item was submitted upstream"
        );
        Ok(pipeline.first_looks(self.job, self.provider, &task).await?)
    }

    /// A provider that is left alone gets no new items; what is upstream is looked after. After its
    /// open time one item tries it out, and holds what is given until that is submitted; the others
    /// wait for what comes of it.
    async fn heed_breaker(&self) -> Result<Option<MutexGuard<'_, ()>>, ProviderError> {
        let wait = |pause: Option<Duration>| {
            let detail = "the provider is left alone for now";
            Err(ProviderError::new(FaultClass::RateLimited, detail).after(pause))
        };
        // An item of this batch may be trying just now, as the job that the gate knows.
        let probe = self.probe.try_lock();
        match self.pipeline.gates.pass(self.job).await {
            Ok(Passage::Open(rest_ms)) => {
                wait(u64::try_from(rest_ms).ok().map(Duration::from_millis))
            }
            Ok(Passage::Waits) => wait(None),
            Ok(Passage::Probe) => probe.map_or_else(|_| wait(None), |probe| Ok(Some(probe))),
            Ok(Passage::Free) => Ok(None),
            Err(error) => {
                // The breaker spares calls; not knowing it forbids none.
                tracing::warn!(%error, "the state of a provider could not be read");
                Ok(None)
            }
        }
    }

    /// Fetches and stores the picture and ends the item with it.
    async fn deliver(&self, item: &Item, outputs: Vec<Output>) -> Result<(), ItemError> {
        let output = outputs.into_iter().next().ok_or_else(|| {
            ProviderError::new(FaultClass::BadUpstream, "no picture in the answer")
                .forgetting_task()
        })?;
        let input = self.input(item);
        let place = Place {
            job: self.job,
            provider: self.provider,
            input: &input,
            upstream_model: self.upstream_model,
            n: usize::try_from(item.position)
                .unwrap_or_default()
                .saturating_add(1),
        };
        let file = self.pipeline.store(&place, output).await?;
        self.end(item, Ok(&file)).await?;
        Ok(())
    }

    async fn after_failure(
        &self,
        item: &mut Item,
        error: &ProviderError,
    ) -> Result<Stand, JobError> {
        alarm(&self.job.provider, error);
        let fault = fault_of(error);
        let has_task = item.upstream_id.is_some();
        item.attempts = item.attempts.saturating_add(1);
        let jobs = &self.pipeline.settings.jobs;
        match decide(error, item.tries, item.attempts, has_task, jobs) {
            Decision::Retry { delay, counts } => {
                tracing::warn!(
                    job.id = %self.job.id,
                    item = item.position,
                    provider.name = self.job.provider,
                    error.detail = error.detail,
                    tries = item.tries,
                    delay_ms = millis(delay),
                    "an item failed and is tried again"
                );
                let change = ItemChange::retry(millis(delay), counts, error.forgets_task, &fault);
                self.note(item, &change).await?;
                item.tries = item.tries.saturating_add(i32::from(counts));
                if has_task && !error.forgets_task {
                    return Ok(Stand::Upstream(delay));
                }
                item.upstream_id = None;
                item.upstream = None;
                item.upstream_since = None;
                Ok(Stand::Waiting {
                    pause: delay,
                    for_all: error.class == FaultClass::RateLimited,
                })
            }
            Decision::GiveUp => {
                tracing::warn!(
                    job.id = %self.job.id,
                    item = item.position,
                    provider.name = self.job.provider,
                    error.code = fault.code,
                    error.detail = fault.detail,
                    "an item failed"
                );
                self.end(item, Err(&fault)).await?;
                Ok(Stand::Final)
            }
        }
    }

    async fn note(&self, item: &Item, change: &ItemChange) -> Result<(), JobError> {
        let _pen = self.pen.lock().await;
        let settler = self.pipeline.settler();
        settler.note_item(self.job, item.position, change).await
    }

    async fn end(&self, item: &Item, end: Result<&NewFile, &Fault>) -> Result<(), JobError> {
        let _pen = self.pen.lock().await;
        let settler = self.pipeline.settler();
        settler.end_item(self.job, item.position, end).await
    }

    fn input(&self, item: &Item) -> Input {
        Input {
            prompt: item.prompt.clone(),
            ..self.picture.clone()
        }
    }
}
