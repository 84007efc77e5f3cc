//! `POST /api/jobs/process`: where carriers push deliveries (generation contract 5.4).

use axum::{Json, extract::State, http::StatusCode};
use loco_rs::prelude::*;

use crate::{
    dtos::process::PushBody,
    http::{ApiError, ApiResult, ErrorCode, JsonBody, internal::Pusher},
    jobs::worker_of,
    models::jobs,
    queue::push::{PushError, Pushed, Receiver},
    settings::Settings,
    views::process::ProcessedView,
};

/// Works a step of the fairest due job of the named job's queue. 200 whenever something was committed
/// or there is nothing to do: the carrier must not repeat what is re-scheduled here.
async fn process(
    State(ctx): State<AppContext>,
    pusher: Pusher,
    JsonBody(body): JsonBody,
) -> ApiResult<Json<ProcessedView>> {
    let PushBody { job_id } = PushBody::parse(body)?;
    let missing = || ApiError::not_found("Job not found");
    let job = jobs::Entity::find_named(&ctx.db, job_id)
        .await?
        .ok_or_else(missing)?;
    let pushed = Pushed {
        job_id,
        worker: worker_of(&job.queue).unwrap_or_default().to_owned(),
        queue: job.queue,
        task: pusher.task,
        due_in_ms: job.due_in_ms,
    };
    let receiver = Receiver::of(&ctx, &Settings::of(&ctx)?.queue)?;
    receiver.take(pushed).await.map_err(unfinished)?;
    let job = jobs::Entity::find_named(&ctx.db, job_id)
        .await?
        .ok_or_else(missing)?;
    Ok(Json(ProcessedView { status: job.status }))
}

/// Nothing was committed: the carrier shall come again.
fn unfinished(error: PushError) -> ApiError {
    match error {
        PushError::Database(error) => error.into(),
        PushError::NoWorker(_) | PushError::Worker(_) => {
            tracing::error!(%error, "a pushed delivery could not be worked");
            ApiError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                ErrorCode::DatabaseUnavailable,
                "The delivery cannot be worked right now.",
            )
            .retry_after(2)
        }
    }
}

/// The routes of this family.
#[must_use]
pub fn routes() -> Routes {
    Routes::new().add("/api/jobs/process", post(process))
}
