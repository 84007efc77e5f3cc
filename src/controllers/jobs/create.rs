//! Admitting jobs by name: provider and model are fields of the body (generation contract 5.1).

use axum::{extract::State, response::Response};
use loco_rs::prelude::*;

use crate::{
    controllers::{
        image::{create, wanted},
        video::named,
        waiting,
    },
    dtos::{
        generation::ImageJobBody,
        jobs::{BatchJobBody, UpscaleJobBody, VideoJobBody},
    },
    generation::{
        admission::{WantedUpscale, WantedVideo},
        batch::WantedBatch,
        pipeline::Pipeline,
        registry::Offer,
        request::Kind,
    },
    http::{ApiResult, Caller, KeyedBody, Prefer},
};

/// An image.
pub async fn image(
    State(ctx): State<AppContext>,
    caller: Caller,
    prefer: Prefer,
    body: KeyedBody,
) -> ApiResult<Response> {
    let answer = create(&ctx, &caller, body, async |fields, origin| {
        let dto = ImageJobBody::parse(fields)?;
        let route = Offer::find(Kind::Image, &dto.provider)?;
        let pipeline = Pipeline::of(&ctx)?;
        Ok(pipeline
            .admit_image(&caller.profile, route, wanted(dto.image), origin)
            .await?)
    })
    .await?;
    waiting::created(&ctx, &caller, prefer, answer).await
}

/// A picture of each of several prompts.
pub async fn batch(
    State(ctx): State<AppContext>,
    caller: Caller,
    prefer: Prefer,
    body: KeyedBody,
) -> ApiResult<Response> {
    let answer = create(&ctx, &caller, body, async |fields, origin| {
        let dto = BatchJobBody::parse(fields)?;
        let route = Offer::find(Kind::Image, &dto.provider)?;
        let batch = WantedBatch {
            prompts: dto.prompts,
            batch_size: dto.batch_size,
            picture: wanted(dto.image),
        };
        let pipeline = Pipeline::of(&ctx)?;
        Ok(pipeline
            .admit_batch(&caller.profile, route, batch, origin)
            .await?)
    })
    .await?;
    waiting::created(&ctx, &caller, prefer, answer).await
}

/// A video.
pub async fn video(
    State(ctx): State<AppContext>,
    caller: Caller,
    prefer: Prefer,
    body: KeyedBody,
) -> ApiResult<Response> {
    let answer = create(&ctx, &caller, body, async |fields, origin| {
        let dto = VideoJobBody::parse(fields)?;
        let video = WantedVideo {
            provider: dto.provider,
            model: Some(dto.model),
            prompt: dto.prompt,
            images: named("imageUrls", dto.image_urls),
            options: dto.options,
            ..WantedVideo::default()
        };
        let pipeline = Pipeline::of(&ctx)?;
        Ok(pipeline.admit_video(&caller.profile, video, origin).await?)
    })
    .await?;
    waiting::created(&ctx, &caller, prefer, answer).await
}

/// A larger copy of a picture.
pub async fn upscale(
    State(ctx): State<AppContext>,
    caller: Caller,
    prefer: Prefer,
    body: KeyedBody,
) -> ApiResult<Response> {
    let answer = create(&ctx, &caller, body, async |fields, origin| {
        let dto = UpscaleJobBody::parse(fields)?;
        let upscale = WantedUpscale {
            provider: dto.provider,
            model: dto.model,
            image_url: dto.image_url,
            scale: dto.scale,
            options: dto.options,
        };
        let pipeline = Pipeline::of(&ctx)?;
        Ok(pipeline
            .admit_upscale(&caller.profile, upscale, origin)
            .await?)
    })
    .await?;
    waiting::created(&ctx, &caller, prefer, answer).await
}
