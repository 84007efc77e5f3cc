//! `POST /api/image/<provider>` and the retired `POST /api/unified-generate`.

mod inline;

use axum::{
    extract::{OriginalUri, State},
    http::StatusCode,
    response::Response,
};
use loco_rs::prelude::*;
use sea_orm::prelude::Uuid;
use serde_json::{Map, Value};

use super::waiting;
use crate::{
    dtos::generation::ImageBody,
    generation::{
        admission::{Origin, WantedImage},
        pipeline::Pipeline,
        registry::Offer,
        request::Kind,
    },
    http::{
        Answer, ApiError, ApiResult, Caller, ErrorCode, KeyedBody, Prefer, idempotency::once,
        request_ids::RequestIds,
    },
    jobs::once::Once,
    models::idempotency_keys::KeyedRequest,
    views::jobs::JobCreatedView,
};

/// Admits a generation; the provider is the last segment of the path.
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
    let is_inline = name == inline::ROUTE && inline::is_wanted(&body.fields);
    let answer = create(&ctx, &caller, body, async |fields, origin| {
        let offer = Offer::find(Kind::Image, name)?;
        let image = wanted(ImageBody::parse(fields)?);
        let admitted = Pipeline::of(&ctx)?
            .admit_image(&caller.profile, offer, image, origin)
            .await;
        if is_inline {
            return admitted.map_err(inline::refusal);
        }
        Ok(admitted?)
    })
    .await?;
    if is_inline {
        return inline::answer(&ctx, &caller, answer).await;
    }
    waiting::created(&ctx, &caller, prefer, answer).await
}

/// Runs `admit` on the fields, once for an idempotency key; gives the answer with the id of the job,
/// made now or stored by the same request before.
///
/// # Errors
/// What `admit` gives, and see [`once`].
pub async fn create(
    ctx: &AppContext,
    caller: &Caller,
    body: KeyedBody,
    admit: impl AsyncFnOnce(Map<String, Value>, Origin) -> ApiResult<Uuid>,
) -> ApiResult<Answer> {
    let (fields, request, _share) = body.of(caller.profile.id);
    once(&ctx.db, request.as_ref(), async {
        let job_id = admit(fields, origin(request.clone())).await?;
        Ok(Answer::created(created_body(job_id)))
    })
    .await
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

/// The one body of every creating route of jobs.
fn created_body(job_id: Uuid) -> String {
    JobCreatedView { job_id, job: None }.to_json()
}

fn origin(request: Option<KeyedRequest>) -> Origin {
    let (request_id, correlation_id) = RequestIds::current()
        .map(|ids| (ids.request_id, ids.correlation_id))
        .unzip();
    Origin {
        request_id,
        correlation_id,
        once: request.map(|request| Once {
            request,
            status: 201,
            body: created_body,
        }),
    }
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
    Offer::all().filter(|offer| offer.kind == Kind::Image).fold(
        Routes::new()
            .prefix("/api")
            .add("/unified-generate", post(unified)),
        |routes, offer| routes.add(&format!("/image/{}", offer.path), post(generate)),
    )
}
