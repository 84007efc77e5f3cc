//! `/api/jobs/*`: creating by name, looking at one, listing (generation contract 5).

use std::time::Duration;

use axum::{
    Json,
    extract::{Path, State},
    response::Response,
};
use loco_rs::prelude::*;
use sea_orm::prelude::Uuid;

use super::waiting;
use crate::{
    dtos::generation::ImageJobBody,
    generation::registry::ImageRoute,
    http::{
        ApiError, ApiResult, Caller, ErrorCode, LargeJsonBody, Prefer, prefer::MAX_WAIT_S,
        query::QueryParams,
    },
    models::jobs,
    storage::Storage,
    views::jobs::{JobDetailView, JobPageView},
};

const DEFAULT_PAGE: u64 = 20;
const MAX_PAGE: u64 = 100;

/// Admits an image generation with provider and model by name.
async fn create_image(
    State(ctx): State<AppContext>,
    caller: Caller,
    prefer: Prefer,
    LargeJsonBody(body): LargeJsonBody,
) -> ApiResult<Response> {
    let dto = ImageJobBody::parse(body)?;
    let route = ImageRoute::find(&dto.provider)?;
    let job_id = super::image::admit(&ctx, &caller, route, dto.image).await?;
    waiting::created(&ctx, &caller, prefer, job_id).await
}

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
        .add("/image-generation", post(create_image))
        .add("/{job_id}", get(show))
}
