//! `POST /api/video/<provider>` (generation contract 7).

use axum::{
    extract::{OriginalUri, State},
    response::Response,
};
use loco_rs::prelude::*;

use super::{image::create, waiting};
use crate::{
    dtos::generation::ImageBody,
    generation::{admission::WantedVideo, pipeline::Pipeline, registry::Offer, request::Kind},
    http::{ApiResult, Caller, KeyedBody, Prefer},
};

/// Admits a video; the provider is the last segment of the path. The body is that of a picture, with the
/// first frame as `imageBase64` or among the options.
async fn generate(
    State(ctx): State<AppContext>,
    OriginalUri(uri): OriginalUri,
    caller: Caller,
    prefer: Prefer,
    body: KeyedBody,
) -> ApiResult<Response> {
    let name = uri
        .path()
        .trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or_default();
    let answer = create(&ctx, &caller, body, async |fields, origin| {
        let offer = Offer::find(Kind::Video, name)?;
        let body = ImageBody::parse(fields)?;
        let video = WantedVideo {
            provider: offer.provider.to_owned(),
            model: body.model,
            prompt: body.prompt,
            image: body.image_base64,
            images: named("references", body.references),
            options: body.options,
            avatar_id: body.avatar_id,
            avatar_image_id: body.avatar_image_id,
            product_id: body.product_id,
            style_id: body.style_id,
        };
        let pipeline = Pipeline::of(&ctx)?;
        Ok(pipeline.admit_video(&caller.profile, video, origin).await?)
    })
    .await?;
    waiting::created(&ctx, &caller, prefer, answer).await
}

/// The items of a list, each with its field.
#[must_use]
pub fn named(field: &str, items: Vec<String>) -> Vec<(String, String)> {
    (0..)
        .zip(items)
        .map(|(index, item): (usize, _)| (format!("{field}.{index}"), item))
        .collect()
}

/// The routes of this family.
#[must_use]
pub fn routes() -> Routes {
    Offer::all()
        .filter(|offer| offer.kind == Kind::Video)
        .fold(Routes::new().prefix("/api/video"), |routes, offer| {
            routes.add(&format!("/{}", offer.path), post(generate))
        })
}
