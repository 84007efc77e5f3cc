//! `POST /api/image/<provider>` and the retired `POST /api/unified-generate`.

use axum::{
    extract::{OriginalUri, State},
    http::StatusCode,
    response::Response,
};
use loco_rs::prelude::*;
use sea_orm::prelude::Uuid;

use super::waiting;
use crate::{
    dtos::generation::ImageBody,
    generation::{
        admission::{Origin, WantedImage},
        pipeline::Pipeline,
        registry::{ImageRoute, ROUTES},
    },
    http::{
        ApiError, ApiResult, Caller, ErrorCode, LargeJsonBody, Prefer, request_ids::RequestIds,
    },
};

/// Admits a generation; the provider is the last segment of the path.
async fn generate(
    State(ctx): State<AppContext>,
    OriginalUri(uri): OriginalUri,
    caller: Caller,
    prefer: Prefer,
    LargeJsonBody(body): LargeJsonBody,
) -> ApiResult<Response> {
    let name = uri
        .path()
        .trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or_default();
    let route = ImageRoute::find(name)?;
    let job_id = admit(&ctx, &caller, route, ImageBody::parse(body)?).await?;
    waiting::created(&ctx, &caller, prefer, job_id).await
}

/// Admits a wanted picture on a route and gives the job's id.
///
/// # Errors
/// See [`crate::generation::RequestError`].
pub async fn admit(
    ctx: &AppContext,
    caller: &Caller,
    route: &ImageRoute,
    body: ImageBody,
) -> ApiResult<Uuid> {
    let wanted = WantedImage {
        prompt: body.prompt,
        model: body.model,
        image_base64: body.image_base64,
        references: body.references,
        options: body.options,
        avatar_id: body.avatar_id,
        avatar_image_id: body.avatar_image_id,
        product_id: body.product_id,
        style_id: body.style_id,
    };
    Ok(Pipeline::of(ctx)?
        .admit_image(&caller.profile, route, wanted, origin())
        .await?)
}

fn origin() -> Origin {
    RequestIds::current().map_or_else(Origin::default, |ids| Origin {
        request_id: Some(ids.request_id),
        correlation_id: Some(ids.correlation_id),
    })
}

/// Says where to go instead (generation contract 4).
async fn unified(_caller: Caller) -> ApiError {
    ApiError::new(
        StatusCode::GONE,
        ErrorCode::Gone,
        "POST /api/unified-generate has been removed. Call /api/image/<provider> instead (e.g., /api/image/gemini).",
    )
}

/// The routes of this family.
#[must_use]
pub fn routes() -> Routes {
    ROUTES.iter().fold(
        Routes::new()
            .prefix("/api")
            .add("/unified-generate", post(unified)),
        |routes, route| routes.add(&format!("/image/{}", route.path), post(generate)),
    )
}
