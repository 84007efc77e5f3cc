//! Inline generation: the request itself waits for the picture (generation contract 3.3, 3.4).
//!
//! It is a job like any other, with its hold, its retries and its file: a client that goes away
//! loses neither the picture nor the credits, and finds it among its jobs.

use std::time::Duration;

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use loco_rs::app::AppContext;
use sea_orm::prelude::Uuid;
use serde_json::{Map, Value};

use crate::{
    controllers::waiting::settled_job,
    generation::{RequestError, error::FaultClass},
    http::{Answer, ApiError, ApiResult, Caller, ErrorCode},
    models::jobs::JobView,
    settings::Settings,
    storage::Storage,
    views::jobs::InlineImageView,
};

/// The provider's name of the one route that has it.
pub const ROUTE: &str = "gemini";

/// Whether a body asks for the picture itself: the first boolean among these options decides.
#[must_use]
pub fn is_wanted(fields: &Map<String, Value>) -> bool {
    let options = fields.get("providerOptions").and_then(Value::as_object);
    let first = |names: &[&str]| {
        names
            .iter()
            .find_map(|name| options?.get(*name).and_then(Value::as_bool))
    };
    match first(&["useQueue", "queue", "forceQueue"]) {
        Some(is_queued) => !is_queued,
        None => first(&["useInline", "inline"]).unwrap_or(false),
    }
}

/// The sentence that this way has of its own.
#[must_use]
pub fn refusal(error: RequestError) -> ApiError {
    match error {
        RequestError::UnsupportedModel(model) => ApiError::bad_request(
            ErrorCode::UnsupportedModel,
            format!("Unsupported Gemini model: {model}"),
        ),
        other => other.into(),
    }
}

/// The picture of a created job, or why there is none. A job that takes longer than a request may is
/// answered with its id, as if it had been queued.
///
/// # Errors
/// The job's failure; see [`failure`].
pub async fn answer(ctx: &AppContext, caller: &Caller, answer: Answer) -> ApiResult<Response> {
    let Some(job_id) = answer
        .field("jobId")
        .and_then(|id| Uuid::parse_str(id.as_str()?).ok())
    else {
        return Ok(answer.into_response());
    };
    let limit = Duration::from_millis(Settings::of(ctx)?.generation.inline_wait_ms);
    let job = match settled_job(ctx, caller.profile.id, job_id, limit).await {
        Ok(Some(job)) if job.is_final() => job,
        // The job exists: nothing that goes wrong here is an error.
        _ => return Ok(answer.into_response()),
    };
    if job.status != "COMPLETED" {
        return Err(failure(&job));
    }
    let storage = Storage::of(ctx)?;
    match InlineImageView::new(&job, |key| storage.public_url(key)) {
        Some(view) => {
            let mut answer = answer;
            answer.body = view.to_json();
            Ok(answer.into_response())
        }
        None => Ok(answer.into_response()),
    }
}

/// What a caller is told of a job that failed. Never 429 or 503, which clients repeat: it would be
/// another job (providers contract 0.2).
fn failure(job: &JobView) -> ApiError {
    let class = job.error_code.as_deref().and_then(FaultClass::of_code);
    let (status, code) = match class {
        Some(FaultClass::BadInput) => (StatusCode::BAD_REQUEST, ErrorCode::ProviderRefusedInput),
        Some(FaultClass::Moderated) => {
            (StatusCode::UNPROCESSABLE_ENTITY, ErrorCode::ContentRefused)
        }
        Some(FaultClass::OutOfTime) => (StatusCode::GATEWAY_TIMEOUT, ErrorCode::GenerationTooSlow),
        Some(FaultClass::Operator) => (StatusCode::BAD_GATEWAY, ErrorCode::ProviderUnavailable),
        Some(FaultClass::RateLimited) => (StatusCode::BAD_GATEWAY, ErrorCode::ProviderBusy),
        Some(FaultClass::Transient) => (StatusCode::BAD_GATEWAY, ErrorCode::ProviderFault),
        Some(FaultClass::BadUpstream) => (StatusCode::BAD_GATEWAY, ErrorCode::NoUsableResult),
        None => (StatusCode::CONFLICT, ErrorCode::Conflict),
    };
    let sentence = job
        .error
        .clone()
        .unwrap_or_else(|| "The generation was cancelled.".to_owned());
    ApiError::new(status, code, sentence)
}
