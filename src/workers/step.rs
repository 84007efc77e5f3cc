//! What every generation worker does with a delivery: claim the fairest due job of its queue, work
//! one step of it, and leave it settled, waiting or handed back.

use std::sync::Arc;

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

/// Claims a job of this type and works one step of it; does nothing when none is due.
///
/// # Errors
/// When nothing could be claimed because the database failed.
pub async fn run(ctx: &AppContext, job_type: &JobType) -> Result<()> {
    let leases = Leases::of(ctx)?;
    let Some(lease) = leases.claim(route(job_type).queue).await? else {
        return Ok(());
    };
    let span = tracing::info_span!(
        "job",
        job.id = %lease.job.id,
        claim = lease.job.claim_no,
        request.id = lease.job.request_id,
        correlation.id = lease.job.correlation_id,
    );
    let pipeline = Pipeline::of(ctx)?;
    work(&pipeline, &leases, &lease).instrument(span).await
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
