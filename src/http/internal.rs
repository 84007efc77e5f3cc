//! The caller of internal routes: a carrier that pushes deliveries.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, StatusCode, request::Parts},
};
use loco_rs::app::AppContext;

use super::{
    caller::bearer_of,
    error::{ApiError, ErrorCode},
};
use crate::auth::internal::{GateError, InternalGate};

/// Header in which Cloud Tasks names the task.
const TASK_NAME: &str = "x-cloudtasks-taskname";

/// A proven pusher of deliveries.
#[derive(Debug, Clone)]
pub struct Pusher {
    /// Its name of the delivery, if it said so.
    pub task: Option<String>,
}

impl FromRequestParts<AppContext> for Pusher {
    type Rejection = ApiError;

    async fn from_request_parts(
        parts: &mut Parts,
        ctx: &AppContext,
    ) -> Result<Self, Self::Rejection> {
        let bearer = bearer_of(&parts.headers).ok_or_else(ApiError::unauthorized)?;
        match InternalGate::of(ctx)?.check(bearer).await {
            Ok(()) => Ok(Self {
                task: task_of(&parts.headers),
            }),
            Err(GateError::Refused) => Err(ApiError::unauthorized()),
            Err(GateError::Unknown(_)) => Err(ApiError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                ErrorCode::ProviderUnavailable,
                "The token cannot be checked right now.",
            )
            .retry_after(2)),
        }
    }
}

fn task_of(headers: &HeaderMap) -> Option<String> {
    let name = headers.get(TASK_NAME)?.to_str().ok()?;
    Some(name.to_owned())
}
