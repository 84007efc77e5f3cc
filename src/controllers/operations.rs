//! What operators look at: `/api/health/queues*` (platform contract 10.2 to 10.4) and `/metrics`.

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use chrono::{SecondsFormat, Utc};
use loco_rs::prelude::*;
use prometheus::proto::MetricFamily;
use sea_orm::prelude::Uuid;
use serde_json::{Value, json};

use crate::{
    http::{Admin, ApiError, ApiResult, Operator, request_ids::RequestIds},
    jobs::{
        QUEUES,
        figures::{Figures, FiguresDesk, WINDOW_S},
    },
    models::jobs,
    queue::{self, LiveDelivery, WorkerBeat},
    storage::Storage,
    telemetry::{exposition, metrics},
    views::{
        jobs::JobDetailView,
        metrics::{figures_up, job_families, pool_families},
        queues::{DeliveryView, QueuesView, Shown, WorkerView, job_debug},
        timestamp,
    },
};

/// How the queues are, from the jobs table and the workers' heartbeats.
async fn queues(State(ctx): State<AppContext>) -> ApiResult<Response> {
    let is_cloud_tasks = queue::carrier(&ctx)?.is_outside();
    let view = match FiguresDesk::of(&ctx)?.look().await {
        Ok(figures) => Json(QueuesView::new(
            figures.taken_at,
            &figures.lines,
            &shown(),
            workers(&figures),
            WINDOW_S,
            is_cloud_tasks,
        ))
        .into_response(),
        Err(error) => {
            tracing::error!(%error, "the queues could not be looked at");
            let sentence = "The queues cannot be looked at right now.";
            Json(QueuesView::unhealthy(sentence)).into_response()
        }
    };
    Ok(uncached(view))
}

/// The metrics in JSON, or as text for who asks for text.
async fn queue_metrics(
    _operator: Operator,
    State(ctx): State<AppContext>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let text = exposition_text(&ctx).await?;
    let wants_text = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|accept| accept.contains("text/plain"));
    if wants_text {
        return Ok(as_text(text));
    }
    let now = Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true);
    let view = json!({"metrics": text, "timestamp": now});
    Ok(uncached(Json(view).into_response()))
}

/// The metrics for a scraper.
async fn scrape(_operator: Operator, State(ctx): State<AppContext>) -> ApiResult<Response> {
    Ok(as_text(exposition_text(&ctx).await?))
}

/// The metrics of a worker process for a scraper. What is about jobs is read from an API process, so that
/// it is there once.
///
/// # Errors
/// 500 when they cannot be written.
pub async fn scrape_process(
    _operator: Operator,
    State(ctx): State<AppContext>,
) -> ApiResult<Response> {
    Ok(as_text(written(process_families(&ctx))?))
}

/// Everything about one job, whoever owns it.
async fn job_debug_view(
    _admin: Admin,
    State(ctx): State<AppContext>,
    Path(id): Path<String>,
) -> ApiResult<Json<Value>> {
    let missing = || ApiError::not_found("Job not found");
    let id = Uuid::parse_str(&id).map_err(|_| missing())?;
    let job = jobs::Entity::find_view(&ctx.db, id)
        .await?
        .ok_or_else(missing)?;
    let inspection = jobs::Entity::inspect(&ctx.db, id)
        .await?
        .ok_or_else(missing)?;
    let deliveries: Vec<DeliveryView> = queue::carrier(&ctx)?
        .deliveries_for(&inspection.queue, id)
        .await?
        .into_iter()
        .map(delivery)
        .collect();
    let storage = Storage::of(&ctx)?;
    let view = JobDetailView::new(job, |key| storage.public_url(key));
    let request_id = RequestIds::current()
        .map(|ids| ids.request_id)
        .unwrap_or_default();
    Ok(Json(job_debug(
        &view,
        &inspection,
        &deliveries,
        &request_id,
    )))
}

/// The figures of this process and, when they can be read, those about the jobs of all processes: a
/// scrape must tell about a database that is away, not fail with it.
async fn exposition_text(ctx: &AppContext) -> ApiResult<String> {
    let look = FiguresDesk::of(ctx)?.look().await;
    let mut families = process_families(ctx);
    families.push(figures_up(look.is_ok()));
    if let Ok(figures) = &look {
        families.extend(job_families(&figures.lines, &shown(), &workers(figures)));
    }
    written(families)
}

/// The figures of this process alone.
fn process_families(ctx: &AppContext) -> Vec<MetricFamily> {
    let mut families = metrics::gather();
    let pool = ctx.db.get_postgres_connection_pool();
    let idle = u32::try_from(pool.num_idle()).unwrap_or(u32::MAX);
    let in_use = pool.size().saturating_sub(idle);
    let most = pool.options().get_max_connections();
    families.extend(pool_families(in_use, idle, most));
    families
}

fn written(families: Vec<MetricFamily>) -> ApiResult<String> {
    exposition::text(families).map_err(|error| {
        tracing::error!(%error, "the metrics could not be written");
        ApiError::internal()
    })
}

fn shown() -> Vec<Shown> {
    QUEUES
        .iter()
        .map(|(job_type, queue)| Shown { queue, job_type })
        .collect()
}

fn workers(figures: &Figures) -> Vec<WorkerView> {
    figures.workers.iter().map(worker).collect()
}

fn worker(beat: &WorkerBeat) -> WorkerView {
    WorkerView {
        name: beat.name.clone(),
        queue: beat.queue.clone(),
        last_seen_at: timestamp(&beat.last_seen_at),
        is_alive: beat.is_alive,
    }
}

fn delivery(live: LiveDelivery) -> DeliveryView {
    DeliveryView {
        id: live.id,
        status: live.status,
        attempts: live.attempts,
        run_at: timestamp(&live.run_at),
        worker: live.worker,
    }
}

fn as_text(text: String) -> Response {
    let content_type = HeaderValue::from_static(exposition::CONTENT_TYPE);
    uncached(([(header::CONTENT_TYPE, content_type)], text).into_response())
}

/// Figures of a moment must not come from somebody's cache.
fn uncached(mut response: Response) -> Response {
    let no_store = HeaderValue::from_static("no-store");
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, no_store);
    response
}

/// The routes of this family.
#[must_use]
pub fn routes() -> Routes {
    Routes::new()
        .add("/metrics", get(scrape))
        .add("/api/health/queues", get(queues))
        .add("/api/health/queues/metrics", get(queue_metrics))
        .add("/api/health/queues/job/{job_id}/debug", get(job_debug_view))
}
