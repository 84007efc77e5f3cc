//! Image jobs. Retry: transient faults up to `jobs.max_tries`, durable back-off; a lost worker up to
//! `jobs.max_rescues`; deadline `jobs.deadline_ms` after admission. Runs any number of times for one
//! job: each run claims, works one step and settles it.

use std::sync::Arc;

use async_trait::async_trait;
use loco_rs::prelude::*;
use serde::{Deserialize, Serialize};
use tracing::Instrument;

use crate::{
    generation::pipeline::Pipeline,
    jobs::{
        JobError,
        leases::{Lease, Leases},
        route,
    },
    models::jobs::JobType,
};

/// What a delivery carries: the job it was sent for. The claim may choose a fairer one.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobArgs {
    pub job_id: uuid::Uuid,
}

/// Works image jobs.
pub struct ImageGenerationWorker {
    ctx: AppContext,
}

#[async_trait]
impl BackgroundWorker<JobArgs> for ImageGenerationWorker {
    fn queue() -> Option<String> {
        Some(route(&JobType::ImageGeneration).queue.to_owned())
    }

    fn build(ctx: &AppContext) -> Self {
        Self { ctx: ctx.clone() }
    }

    async fn perform(&self, _args: JobArgs) -> Result<()> {
        let leases = Leases::of(&self.ctx)?;
        let Some(lease) = leases.claim(route(&JobType::ImageGeneration).queue).await? else {
            return Ok(());
        };
        let span = tracing::info_span!(
            "job",
            job.id = %lease.job.id,
            claim = lease.job.claim_no,
            request.id = lease.job.request_id,
            correlation.id = lease.job.correlation_id,
        );
        let pipeline = Pipeline::of(&self.ctx)?;
        work(&pipeline, &leases, &lease).instrument(span).await
    }
}

/// One step, unless the lease is lost or the process ends meanwhile.
async fn work(pipeline: &Pipeline, leases: &Arc<Leases>, lease: &Lease) -> Result<()> {
    let outcome = tokio::select! {
        outcome = pipeline.step(&lease.job) => outcome,
        () = lease.lost.cancelled() => Err(JobError::Stale),
        () = lease.unwanted.cancelled() => pipeline.cancel(&lease.job).await,
        () = leases.cut() => pipeline.hand_back(&lease.job).await,
    };
    match outcome {
        Ok(()) => Ok(()),
        Err(JobError::Stale) => {
            tracing::warn!("another claim took the job over; this one changed nothing");
            Ok(())
        }
        // The lease runs out and the step is done again; the delivery itself has done its work.
        Err(error) => {
            tracing::error!(%error, "a step could not be settled");
            Ok(())
        }
    }
}
