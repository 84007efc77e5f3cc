//! Admitting jobs by name: provider and model are fields of the body (generation contract 5.1).

use axum::{Json, extract::State, http::StatusCode};
use loco_rs::prelude::*;

use crate::{
    controllers::image::{admit, origin, wanted},
    dtos::{
        generation::ImageJobBody,
        jobs::{BatchJobBody, UpscaleJobBody, VideoJobBody},
    },
    generation::{
        admission::{WantedUpscale, WantedVideo},
        batch::WantedBatch,
        pipeline::Pipeline,
        registry::ImageRoute,
    },
    http::{ApiResult, Caller, LargeJsonBody},
    views::jobs::JobCreatedView,
};

/// An image.
pub async fn image(
    State(ctx): State<AppContext>,
    caller: Caller,
    LargeJsonBody(body): LargeJsonBody,
) -> ApiResult<(StatusCode, Json<JobCreatedView>)> {
    let dto = ImageJobBody::parse(body)?;
    let route = ImageRoute::find(&dto.provider)?;
    admit(&ctx, &caller, route, dto.image).await
}

/// A picture of each of several prompts.
pub async fn batch(
    State(ctx): State<AppContext>,
    caller: Caller,
    LargeJsonBody(body): LargeJsonBody,
) -> ApiResult<(StatusCode, Json<JobCreatedView>)> {
    let dto = BatchJobBody::parse(body)?;
    let route = ImageRoute::find(&dto.provider)?;
    let batch = WantedBatch {
        prompts: dto.prompts,
        batch_size: dto.batch_size,
        picture: wanted(dto.image),
    };
    let job_id = Pipeline::of(&ctx)?
        .admit_batch(&caller.profile, route, batch, origin())
        .await?;
    Ok((StatusCode::CREATED, Json(JobCreatedView { job_id })))
}

/// A video.
pub async fn video(
    State(ctx): State<AppContext>,
    caller: Caller,
    LargeJsonBody(body): LargeJsonBody,
) -> ApiResult<(StatusCode, Json<JobCreatedView>)> {
    let dto = VideoJobBody::parse(body)?;
    let video = WantedVideo {
        provider: dto.provider,
        model: dto.model,
        prompt: dto.prompt,
        image_urls: dto.image_urls,
        options: dto.options,
    };
    let job_id = Pipeline::of(&ctx)?
        .admit_video(&caller.profile, video, origin())
        .await?;
    Ok((StatusCode::CREATED, Json(JobCreatedView { job_id })))
}

/// A larger copy of a picture.
pub async fn upscale(
    State(ctx): State<AppContext>,
    caller: Caller,
    LargeJsonBody(body): LargeJsonBody,
) -> ApiResult<(StatusCode, Json<JobCreatedView>)> {
    let dto = UpscaleJobBody::parse(body)?;
    let upscale = WantedUpscale {
        provider: dto.provider,
        model: dto.model,
        image_url: dto.image_url,
        scale: dto.scale,
        options: dto.options,
    };
    let job_id = Pipeline::of(&ctx)?
        .admit_upscale(&caller.profile, upscale, origin())
        .await?;
    Ok((StatusCode::CREATED, Json(JobCreatedView { job_id })))
}
