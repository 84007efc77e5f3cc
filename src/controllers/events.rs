//! Event streams: `GET /api/events` and `GET /api/jobs/:id/events` (server-sent events).

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::{Path, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::{Stream, StreamExt, stream};
use loco_rs::prelude::*;
use sea_orm::prelude::Uuid;

use crate::{
    auth::{
        guard::{Authenticated, until_ended},
        identity,
    },
    http::{ApiError, ApiResult, Caller, ErrorCode, query::QueryParams},
    models::job_events::Entity,
    realtime::{Hub, JOB_UPDATE, JobUpdate, Kind, Seat, Start, Subscription},
    settings::{self, Settings},
};

/// Asks nginx and its like to pass each event on at once.
const UNBUFFERED: (HeaderName, HeaderValue) = (
    HeaderName::from_static("x-accel-buffering"),
    HeaderValue::from_static("no"),
);

/// Every change of the caller's jobs.
async fn of_user(
    State(ctx): State<AppContext>,
    query: QueryParams,
    headers: HeaderMap,
    caller: Caller,
) -> ApiResult<Response> {
    let start = start_of(&headers, &query)?;
    let hub = Hub::of(&ctx)?;
    let seats = seats(&hub, &caller)?;
    let updates = hub.subscribe(caller.profile.id, start, None).await?;
    // Even a stream that is cut before its first event can be resumed.
    let begin = Event::default().id(updates.position().to_string());
    let source = Source {
        updates,
        ends: false,
        _seats: seats,
    };
    Ok(answer(&ctx, &caller, begin, Some(source))?)
}

/// Every change of one job of the caller, until it is final.
async fn of_job(
    State(ctx): State<AppContext>,
    Path(id): Path<String>,
    query: QueryParams,
    headers: HeaderMap,
    caller: Caller,
) -> ApiResult<Response> {
    let start = start_of(&headers, &query)?;
    let job_id = Uuid::parse_str(&id).map_err(|_| {
        ApiError::bad_request(ErrorCode::ValidationFailed, "The job id must be a UUID")
    })?;
    let hub = Hub::of(&ctx)?;
    let seats = seats(&hub, &caller)?;
    let user_id = caller.profile.id;
    let mut updates = hub.subscribe(user_id, start, Some(job_id)).await?;
    // Read after the subscription began, so that no change falls between the two.
    let now = Entity::job_now(&ctx.db, user_id, job_id)
        .await?
        .ok_or_else(|| ApiError::not_found("Job not found"))?;
    let state = hub.update_of(&now.event);
    let (begin, source) = match (start, state.is_final()) {
        (Start::After(seq), true) if now.newest_of_job.unwrap_or(state.seq) <= seq => {
            // Nothing will follow: this is what tells an `EventSource` not to come back.
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
        // A final job, and it does not matter what came before: that is no longer kept.
        (Start::After(_), true) if now.newest_of_job.is_none() => (event(&state), None),
        (Start::After(_), _) => {
            let begin = Event::default().id(updates.position().to_string());
            (begin, Some(updates))
        }
        (Start::Now, true) => (event(&state), None),
        (Start::Now, false) => {
            updates.skip_to(state.seq);
            (event(&state), Some(updates))
        }
    };
    let source = source.map(|updates| Source {
        updates,
        ends: true,
        _seats: seats,
    });
    Ok(answer(&ctx, &caller, begin, source)?)
}

/// What a stream hands out after its first block.
struct Source {
    updates: Subscription,
    /// Whether a final event is the last one.
    ends: bool,
    _seats: (Seat, Seat),
}

fn seats(hub: &Arc<Hub>, caller: &Caller) -> ApiResult<(Seat, Seat)> {
    let own = hub.seats.of_user(caller.profile.id, Kind::Stream)?;
    Ok((own, hub.seats.connection()?))
}

/// The number after which a reader wants to go on. A header is newer than the address.
fn start_of(headers: &HeaderMap, query: &QueryParams) -> ApiResult<Start> {
    let header = headers
        .get("last-event-id")
        .map(|value| value.to_str().unwrap_or("?").trim())
        .filter(|text| !text.is_empty());
    let Some(text) = header.or_else(|| query.text("lastEventId")) else {
        return Ok(Start::Now);
    };
    text.trim()
        .parse()
        .ok()
        .filter(|seq: &i64| *seq >= 0)
        .map(Start::After)
        .ok_or_else(|| {
            ApiError::bad_request(
                ErrorCode::ValidationFailed,
                "Last-Event-ID must be the id of an event: a whole number, 0 or above",
            )
        })
}

fn event(update: &JobUpdate) -> Event {
    let event = Event::default()
        .event(JOB_UPDATE)
        .id(update.seq.to_string());
    match serde_json::to_string(update) {
        Ok(json) => event.data(json),
        Err(error) => {
            tracing::error!(%error, "an event could not be written");
            event
        }
    }
}

/// A stream that ends with its job, with the caller's token, or with the process.
fn answer(
    ctx: &AppContext,
    caller: &Caller,
    begin: Event,
    source: Option<Source>,
) -> loco_rs::Result<Response> {
    let realtime: settings::Realtime = Settings::of(ctx)?.realtime.clone();
    let begin = begin.retry(Duration::from_millis(realtime.retry_ms));
    let known = Authenticated {
        profile: caller.profile.clone(),
        claims: caller.claims.clone(),
    };
    let keeper = identity::of(ctx)?.keeper();
    let pause = Duration::from_millis(realtime.recheck_ms);
    let end = until_ended(ctx.db.clone(), keeper, known, pause);
    let body = stream::iter([begin]).chain(updates(source, end));
    let keep_alive = KeepAlive::new().interval(Duration::from_millis(realtime.keep_alive_ms));
    let stream = Sse::new(body.map(Ok::<_, Infallible>)).keep_alive(keep_alive);
    Ok(([UNBUFFERED], stream).into_response())
}

fn updates(source: Option<Source>, end: impl Future<Output = ()>) -> impl Stream<Item = Event> {
    stream::unfold(source, |source| async {
        let mut source = source?;
        let update = source.updates.next().await?;
        let is_last = source.ends && update.is_final();
        Some((event(&update), (!is_last).then_some(source)))
    })
    .take_until(end)
}

/// The routes of this family.
#[must_use]
pub fn routes() -> Routes {
    Routes::new()
        .prefix("/api")
        .add("/events", get(of_user))
        .add("/jobs/{job_id}/events", get(of_job))
}
