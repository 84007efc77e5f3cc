//! The edge around every route: ids, log line, CORS, panics, time limit, compression, and the
//! envelope for answers that no handler made (404, 405).

use std::{any::Any, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header, request::Parts},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use loco_rs::{app::AppContext, controller::middleware::MiddlewareLayer};
use tower_http::{
    catch_panic::CatchPanicLayer,
    compression::{
        CompressionLayer,
        predicate::{NotForContentType, Predicate, SizeAbove},
    },
    cors::{AllowOrigin, CorsLayer},
};
use tracing::Instrument;

use super::{
    error::{ApiError, ErrorCode},
    limited,
    request_ids::{CORRELATION_ID, REQUEST_ID, RequestIds},
};
use crate::{settings::Settings, telemetry::metrics};

/// Answers below this size are sent as they are: compressing them costs more than it saves.
const COMPRESS_ABOVE_BYTES: u16 = 1024;
/// The one path whose requests last as long as a step of a job does; its callers have limits of their own.
const WITHOUT_TIME_LIMIT: &str = "/api/jobs/process";
/// Seconds a browser may keep a preflight answer.
const PREFLIGHT_MAX_AGE_S: u64 = 86_400;

/// The whole edge as one Loco middleware, so that `cargo loco middleware` lists it.
pub struct Edge(pub Arc<Settings>);

impl MiddlewareLayer for Edge {
    fn name(&self) -> &'static str {
        "edge"
    }

    fn config(&self) -> serde_json::Result<serde_json::Value> {
        Ok(serde_json::json!({
            "cors_origins": self.0.http.cors_origins,
            "body_limit_bytes": self.0.http.body_limit_bytes,
            "request_timeout_ms": self.0.http.request_timeout_ms,
        }))
    }

    fn apply(&self, app: Router<AppContext>) -> loco_rs::Result<Router<AppContext>> {
        let limit = Duration::from_millis(self.0.http.request_timeout_ms);
        let compress = SizeAbove::new(COMPRESS_ABOVE_BYTES)
            .and(NotForContentType::IMAGES)
            .and(NotForContentType::SSE)
            .and(NotForContentType::const_new("video/"))
            .and(NotForContentType::const_new("application/octet-stream"));
        Ok(app
            .fallback(route_not_found)
            .method_not_allowed_fallback(method_not_allowed)
            .layer(CatchPanicLayer::custom(panicked))
            .layer(CompressionLayer::new().compress_when(compress))
            .layer(cors(&self.0.http.cors_origins))
            .layer(from_fn_with_state(limit, around)))
    }
}

/// Gives ids, bounds the time, and writes the one log line of a request.
async fn around(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    let started = std::time::Instant::now();
    let ids = RequestIds::of(request.headers(), request.uri().path());
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let is_preflight = method == Method::OPTIONS
        && request
            .headers()
            .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let span = tracing::info_span!(
        "request",
        request.id = ids.request_id,
        correlation.id = ids.correlation_id
    );
    let (mut response, standing) = limited::watched(
        ids.clone()
            .scope(async {
                if path == WITHOUT_TIME_LIMIT {
                    return next.run(request).await;
                }
                let answer = tokio::time::timeout(limit, next.run(request)).await;
                answer.unwrap_or_else(|_| too_slow().into_response())
            })
            .instrument(span.clone()),
    )
    .await;
    if let Some(standing) = standing {
        limited::write(response.headers_mut(), standing);
    }
    if is_preflight && response.status() == StatusCode::OK {
        *response.status_mut() = StatusCode::NO_CONTENT;
    }
    for (name, id) in [
        (REQUEST_ID, &ids.request_id),
        (CORRELATION_ID, &ids.correlation_id),
    ] {
        if let Ok(value) = HeaderValue::from_str(id) {
            response.headers_mut().insert(name, value);
        }
    }
    let template = route
        .as_ref()
        .map_or(metrics::UNMATCHED, MatchedPath::as_str);
    let status = response.status().as_u16();
    metrics::request(method.as_str(), template, status, started.elapsed());
    span.in_scope(|| log(&method, &path, response.status(), started.elapsed()));
    response
}

/// Polled reads would drown everything else, so successful GETs are debug lines.
fn log(method: &Method, path: &str, status: StatusCode, took: Duration) {
    let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let status = status.as_u16();
    if status >= 500 {
        tracing::warn!(%method, path, status, duration_ms, "request answered with a server error");
    } else if method == Method::GET
        || method == Method::HEAD
        || method == Method::OPTIONS
        || path.starts_with("/socket.io")
    {
        tracing::debug!(%method, path, status, duration_ms, "request answered");
    } else {
        tracing::info!(%method, path, status, duration_ms, "request answered");
    }
}

fn too_slow() -> ApiError {
    ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::RequestTooSlow,
        "The request took too long to answer.",
    )
}

// `CatchPanicLayer` hands the panic over by value.
#[allow(clippy::needless_pass_by_value)]
fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no text");
    tracing::error!(panic = text, "a handler panicked");
    ApiError::internal().into_response()
}

/// 404 for an address that nothing serves.
pub async fn route_not_found(method: Method, uri: Uri) -> ApiError {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    ApiError::new(
        StatusCode::NOT_FOUND,
        ErrorCode::RouteNotFound,
        format!("Cannot {method} {path}"),
    )
}

async fn method_not_allowed(method: Method, uri: Uri) -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        ErrorCode::MethodNotAllowed,
        format!("{method} is not allowed at {}", uri.path()),
    )
}

/// Cross-origin rules (architecture 1.10). Public files may be fetched from anywhere.
fn cors(origins: &[String]) -> CorsLayer {
    let allowed: Vec<HeaderValue> = origins
        .iter()
        .filter_map(|origin| HeaderValue::from_str(origin).ok())
        .collect();
    let origin = AllowOrigin::predicate(move |origin: &HeaderValue, parts: &Parts| {
        parts.uri.path().starts_with("/files/") || allowed.contains(origin)
    });
    CorsLayer::new()
        .allow_origin(origin)
        .allow_credentials(true)
        .allow_methods([
            Method::GET,
            Method::HEAD,
            Method::PUT,
            Method::PATCH,
            Method::POST,
            Method::DELETE,
            Method::OPTIONS,
        ])
        .allow_headers(
            [
                "content-type",
                "authorization",
                "accept",
                "origin",
                "x-requested-with",
                "x-correlation-id",
                "apikey",
                "x-client-info",
                "x-supabase-api-version",
                "idempotency-key",
                "prefer",
                "last-event-id",
                "x-request-id",
            ]
            .map(HeaderName::from_static),
        )
        .expose_headers(
            [
                "x-request-id",
                "x-correlation-id",
                "retry-after",
                "idempotency-replayed",
                "ratelimit-limit",
                "ratelimit-remaining",
                "ratelimit-reset",
                "preference-applied",
            ]
            .map(HeaderName::from_static),
        )
        .max_age(Duration::from_secs(PREFLIGHT_MAX_AGE_S))
}
