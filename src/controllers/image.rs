//! `POST /api/image/<provider>` and the retired `POST /api/unified-generate`.

use axum::{
    Json,
    extract::{OriginalUri, State},
    http::StatusCode,
};
use loco_rs::prelude::*;

use crate::{
    dtos::generation::ImageBody,
    generation::{
        admission::{Origin, WantedImage},
        pipeline::Pipeline,
        registry::{ImageRoute, ROUTES},
    },
    http::{ApiError, ApiResult, Caller, ErrorCode, LargeJsonBody, request_ids::RequestIds},
    views::jobs::JobCreatedView,
};

/// Admits a generation; the provider is the last segment of the path.
async fn generate(
    State(ctx): State<AppContext>,
    OriginalUri(uri): OriginalUri,
    caller: Caller,
    LargeJsonBody(body): LargeJsonBody,
) -> ApiResult<(StatusCode, Json<JobCreatedView>)> {
    let name = uri
        .path()
        .trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or_default();
    let route = ImageRoute::find(name)?;
    admit(&ctx, &caller, route, ImageBody::parse(body)?).await
}

/// Admits a wanted picture on a route.
///
/// # Errors
/// See [`crate::generation::RequestError`].
pub async fn admit(
    ctx: &AppContext,
    caller: &Caller,
    route: &ImageRoute,
    body: ImageBody,
) -> ApiResult<(StatusCode, Json<JobCreatedView>)> {
    let job_id = Pipeline::of(ctx)?
        .admit_image(&caller.profile, route, wanted(body), origin())
        .await?;
    Ok((StatusCode::CREATED, Json(JobCreatedView { job_id })))
}

/// What a body asks for.
#[must_use]
pub fn wanted(body: ImageBody) -> WantedImage {
    WantedImage {
        prompt: body.prompt,
        model: body.model,
        image_base64: body.image_base64,
        references: body.references,
        options: body.options,
        avatar_id: body.avatar_id,
        avatar_image_id: body.avatar_image_id,
        product_id: body.product_id,
        style_id: body.style_id,
    }
}

/// The ids of the request that is being answered.
#[must_use]
pub fn origin() -> Origin {
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
