//! Answers that wait for a job: `GET /api/jobs/:id?wait=` and `Prefer: wait` on creation.

use std::time::Duration;

use axum::{
    http::HeaderName,
    response::{IntoResponse, Response},
};
use loco_rs::app::AppContext;
use sea_orm::prelude::Uuid;
use tokio::time::{Instant, timeout_at};

use crate::{
    http::{Answer, ApiResult, Caller, Prefer},
    jobs::lookup::Lookup,
    models::jobs::{JobView, Owned},
    realtime::{Hub, Kind, Start, Subscription},
    storage::Storage,
    views::jobs::{JobCreatedView, JobDetailView},
};

const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// The user's job, as soon as it is final, or as it is after `limit`. Nothing of the database is held
/// while it waits. A user who has too many waits open is answered at once.
///
/// # Errors
/// When the database fails.
pub async fn settled_job(
    ctx: &AppContext,
    user_id: Uuid,
    job_id: Uuid,
    limit: Duration,
) -> ApiResult<Option<JobView>> {
    let deadline = Instant::now() + limit;
    let lookup = Lookup::of(ctx)?;
    let look = || {
        lookup.find(Owned {
            id: job_id,
            user_id,
        })
    };
    let job = look().await?;
    if limit.is_zero() || job.as_ref().is_none_or(JobView::is_final) {
        return Ok(job);
    }
    let hub = Hub::of(ctx)?;
    let seats = hub
        .seats
        .connection()
        .and_then(|any| Ok((any, hub.seats.of_user(user_id, Kind::Wait)?)));
    let Ok(_seats) = seats else { return Ok(job) };
    let mut updates = hub.subscribe(user_id, Start::Now, Some(job_id)).await?;
    // It may have ended before anybody listened.
    let job = look().await?;
    if job.as_ref().is_none_or(JobView::is_final) {
        return Ok(job);
    }
    timeout_at(deadline, end_of(&mut updates)).await.ok();
    drop(updates);
    Ok(look().await?)
}

/// Resolves with the job's final event, or when the process stops.
async fn end_of(updates: &mut Subscription) {
    while let Some(update) = updates.next().await {
        if update.is_final() {
            return;
        }
    }
}

/// The answer to a created job: its id, and the job itself when the caller prefers to wait and it is
/// final in time; for a repeated request too. The job exists, so nothing that goes wrong here is an
/// error.
pub async fn created(
    ctx: &AppContext,
    caller: &Caller,
    prefer: Prefer,
    mut answer: Answer,
) -> ApiResult<Response> {
    let job_id = answer
        .field("jobId")
        .and_then(|id| Uuid::parse_str(id.as_str()?).ok());
    if let Some(job_id) = job_id
        && prefer.wait() > Duration::ZERO
    {
        let found = settled_job(ctx, caller.profile.id, job_id, prefer.wait()).await;
        if let Ok(Some(found)) = found
            && found.is_final()
        {
            let storage = Storage::of(ctx)?;
            let job = Some(JobDetailView::new(found, |key| storage.public_url(key)));
            answer.body = JobCreatedView { job_id, job }.to_json();
        }
    }
    let mut response = answer.into_response();
    if let Some(applied) = prefer.applied() {
        response.headers_mut().insert(PREFERENCE_APPLIED, applied);
    }
    Ok(response)
}
