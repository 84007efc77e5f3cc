//! `GET /` and `GET /health`.

use std::time::Duration;

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use loco_rs::prelude::*;
use sea_orm::ConnectionTrait;

use crate::{http::ApiResult, settings::Settings, views::health::HealthView};

/// The front door says that the service is there.
async fn root() -> Html<&'static str> {
    Html("Hello World!")
}

/// Whether the service can work: its database answers within the time limit.
async fn health(State(ctx): State<AppContext>) -> ApiResult<Response> {
    let database = Settings::of(&ctx)?.database.clone();
    let view = if database.skip_health_check {
        HealthView::unchecked()
    } else {
        let limit = Duration::from_millis(database.health_timeout_ms);
        match tokio::time::timeout(limit, ctx.db.execute_unprepared("select 1")).await {
            Ok(Ok(_)) => HealthView::up(),
            Ok(Err(error)) => {
                tracing::error!(%error, "the health check found the database down");
                HealthView::down(None)
            }
            Err(_) => {
                tracing::error!("the health check got no answer from the database in time");
                let limit_ms = database.health_timeout_ms;
                HealthView::down(Some(format!("timeout of {limit_ms}ms exceeded")))
            }
        }
    };
    let status = match view.status {
        "ok" => StatusCode::OK,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    let headers = [(header::CACHE_CONTROL, "no-cache, no-store, must-revalidate")];
    Ok((status, headers, Json(view)).into_response())
}

/// The routes of this family.
#[must_use]
pub fn routes() -> Routes {
    Routes::new()
        .add("/", get(root))
        .add("/health", get(health))
}
