//! `/api/health/queues` and the operators' view of one job (platform contract 10.2, 10.4).

use chrono::{DateTime, FixedOffset, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{jobs::JobDetailView, timestamp};
use crate::models::{
    job_totals::{Figure, TypeFigures},
    jobs::Inspection,
};

/// One queue to show: its name and the type of the jobs in it.
#[derive(Debug, Clone, Copy)]
pub struct Shown {
    pub queue: &'static str,
    pub job_type: &'static str,
}

/// A worker and its last heartbeat.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerView {
    pub name: String,
    pub queue: String,
    pub last_seen_at: String,
    pub is_alive: bool,
}

/// An unfinished delivery of a job.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryView {
    pub id: String,
    pub status: String,
    pub attempts: i32,
    pub run_at: String,
    pub worker: Option<String>,
}

/// `GET /api/health/queues`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QueuesView {
    status: &'static str,
    timestamp: String,
    cloud_tasks_enabled: bool,
    window_seconds: i32,
    queues: Map<String, Value>,
    processing_stats: Value,
    workers: Vec<WorkerView>,
}

impl QueuesView {
    /// The view of figures taken at `taken_at` over a window of `window_s` seconds.
    #[must_use]
    pub fn new(
        taken_at: DateTime<Utc>,
        lines: &[Figure],
        shown: &[Shown],
        workers: Vec<WorkerView>,
        window_s: i32,
        is_cloud_tasks: bool,
    ) -> Self {
        let queues = shown
            .iter()
            .map(|shown| {
                let figures =
                    TypeFigures::sum(lines.iter().filter(|line| line.job_type == shown.job_type));
                let alive = workers
                    .iter()
                    .filter(|worker| worker.is_alive && worker.queue == shown.queue)
                    .count();
                (shown.queue.to_owned(), queue(&figures, window_s, alive))
            })
            .collect();
        Self {
            status: "healthy",
            timestamp: instant(taken_at),
            cloud_tasks_enabled: is_cloud_tasks,
            window_seconds: window_s,
            queues,
            processing_stats: stats(&TypeFigures::sum(lines), window_s),
            workers,
        }
    }

    /// The answer when there are no figures; still with status 200.
    #[must_use]
    pub fn unhealthy(error: &str) -> Value {
        json!({"status": "unhealthy", "timestamp": instant(Utc::now()), "error": error})
    }
}

fn queue(figures: &TypeFigures, window_s: i32, workers: usize) -> Value {
    json!({
        "depth": figures.pending,
        "processingRate": rounded(figures.per_minute(window_s)),
        "errorRate": rounded(figures.error_rate()),
        "averageProcessingTime": rounded(figures.average_seconds()),
        "activeJobs": figures.processing,
        "oldestDueSeconds": rounded(figures.oldest_due_s),
        "lapsedLeases": figures.lapsed,
        "workers": workers,
        "states": {
            "PENDING": figures.pending,
            "PROCESSING": figures.processing,
            "COMPLETED": figures.completed,
            "FAILED": figures.failed,
            "CANCELLED": figures.cancelled,
        },
    })
}

fn stats(figures: &TypeFigures, window_s: i32) -> Value {
    json!({
        "totalJobsProcessed": figures.completed.saturating_add(figures.failed),
        "activeJobs": figures.processing,
        "averageProcessingTime": rounded(figures.average_seconds()),
        "errorRate": rounded(figures.error_rate()),
        "processingRate": rounded(figures.per_minute(window_s)),
        "oldestDueSeconds": rounded(figures.oldest_due_s),
    })
}

/// Three decimals: more would be noise. Whole numbers are written as such.
fn rounded(number: f64) -> Value {
    let text = format!("{number:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    serde_json::from_str(text).unwrap_or_default()
}

/// `GET /api/health/queues/job/:jobId/debug`: the documented part first, then what operators need.
#[must_use]
pub fn job_debug(
    job: &JobDetailView,
    inspection: &Inspection,
    deliveries: &[DeliveryView],
    request_id: &str,
) -> Value {
    let time = |time: &Option<DateTime<FixedOffset>>| time.as_ref().map(timestamp);
    let hold = inspection.hold_state.as_ref().map(|state| {
        json!({
            "state": state,
            "amount": inspection.hold_amount,
            "captured": inspection.hold_captured,
            "expiresAt": time(&inspection.hold_expires_at),
            "settledAt": time(&inspection.hold_settled_at),
        })
    });
    json!({
        "job": job,
        "requestId": request_id,
        "timestamp": instant(Utc::now()),
        "run": {
            "userId": inspection.user_id,
            "queue": inspection.queue,
            "priority": inspection.priority,
            "claimNo": inspection.claim_no,
            "tries": inspection.tries,
            "rescues": inspection.rescues,
            "leaseOwner": inspection.lease_owner,
            "isLeased": inspection.is_leased,
            "nextRunAt": time(&inspection.next_run_at),
            "deadlineAt": timestamp(&inspection.deadline_at),
            "startedAt": time(&inspection.started_at),
            "updatedAt": timestamp(&inspection.updated_at),
            "upstreamId": inspection.upstream_id,
            "upstreamSince": time(&inspection.upstream_since),
            "errorCode": inspection.error_code,
            "errorDetail": inspection.error_detail,
            "requestId": inspection.request_id,
            "correlationId": inspection.correlation_id,
        },
        "cost": inspection.cost,
        "hold": hold,
        "events": inspection.events,
        "deliveries": deliveries,
    })
}

fn instant(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}
