//! `/api/jobs/*`: creating by name, looking at one, listing (generation contract 5).

mod create;

use std::time::Duration;

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use loco_rs::prelude::*;
use sea_orm::prelude::Uuid;

use super::waiting;
use crate::{
    generation::pipeline::Pipeline,
    http::{ApiError, ApiResult, Caller, ErrorCode, prefer::MAX_WAIT_S, query::QueryParams},
    jobs::{JobError, cancel::Cancelled},
    models::jobs,
    storage::Storage,
    views::jobs::{JobDetailView, JobPageView},
};

const DEFAULT_PAGE: u64 = 20;
const MAX_PAGE: u64 = 100;

/// One job of the caller, at once or, with `wait`, when it is final. Somebody else's looks like one that
/// is not there.
async fn show(
    State(ctx): State<AppContext>,
    Path(id): Path<String>,
    query: QueryParams,
    caller: Caller,
) -> ApiResult<Json<JobDetailView>> {
    let missing = || ApiError::not_found("Job not found");
    let wait = Duration::from_secs(query.up_to("wait", MAX_WAIT_S)?.unwrap_or_default());
    let id = Uuid::parse_str(&id).map_err(|_| missing())?;
    let job = waiting::settled_job(&ctx, caller.profile.id, id, wait)
        .await?
        .ok_or_else(missing)?;
    let storage = Storage::of(&ctx)?;
    Ok(Json(JobDetailView::new(job, |key| storage.public_url(key))))
}

/// Cancels a job of the caller: 200 when it is cancelled, 202 when its worker is to end it.
async fn cancel(
    State(ctx): State<AppContext>,
    Path(id): Path<String>,
    caller: Caller,
) -> ApiResult<(StatusCode, Json<JobDetailView>)> {
    let user_id = caller.profile.id;
    let id = Uuid::parse_str(&id).map_err(|_| JobError::NotFound)?;
    let done = Pipeline::of(&ctx)?.cancel_for_owner(id, user_id).await?;
    let status = match done {
        Cancelled::Now => StatusCode::OK,
        Cancelled::Soon => StatusCode::ACCEPTED,
    };
    let job = jobs::Entity::find_for_user(&ctx.db, id, user_id)
        .await?
        .ok_or(JobError::NotFound)?;
    let storage = Storage::of(&ctx)?;
    let view = JobDetailView::new(job, |key| storage.public_url(key));
    Ok((status, Json(view)))
}

/// The caller's jobs, newest first.
async fn index(
    State(ctx): State<AppContext>,
    query: QueryParams,
    caller: Caller,
) -> ApiResult<Json<JobPageView>> {
    let limit = query.limit(DEFAULT_PAGE, MAX_PAGE)?;
    let cursor = query
        .text("cursor")
        .map(Uuid::parse_str)
        .transpose()
        .map_err(|_| {
            ApiError::bad_request(ErrorCode::ValidationFailed, "cursor must be a job id")
        })?;
    let page = jobs::Entity::page_for_user(&ctx.db, caller.profile.id, cursor, limit).await?;
    let storage = Storage::of(&ctx)?;
    Ok(Json(JobPageView::new(page, |key| storage.public_url(key))))
}

/// The routes of this family.
#[must_use]
pub fn routes() -> Routes {
    Routes::new()
        .prefix("/api/jobs")
        .add("/", get(index))
        .add("/image-generation", post(create::image))
        .add("/batch-generation", post(create::batch))
        .add("/video-generation", post(create::video))
        .add("/image-upscale", post(create::upscale))
        .add("/{job_id}", get(show).delete(cancel))
        .add("/{job_id}/cancel", post(cancel))
}
