//! `/api/events` and `/api/jobs/{id}/events`.

mod resume;

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    TestUser,
    bfl::{Bfl, Point},
    snapshot::{redact, stable},
    sse::Stream,
    test_app, tokens,
};

/// No look at the log that no notification asked for.
const NEVER_MS: u64 = 3_600_000;

fn blocks(blocks: &[crate::support::sse::Block], known: &[(&str, &str)]) -> Value {
    let mut list = Vec::new();
    for block in blocks {
        let mut told = json!({
            "event": block.event, "id": block.id, "retry": block.retry, "data": block.data,
        });
        told.as_object_mut()
            .unwrap()
            .retain(|_, value| !value.is_null());
        list.push(told);
    }
    redact(&json!(list), known)
}

#[tokio::test]
async fn a_jobs_stream_begins_with_its_state_and_ends_with_its_end() {
    let bfl = Bfl::start().await;
    bfl.close(Point::Submit);
    test_app()
        .worker()
        .flux(&bfl)
        .set("/realtime/net_interval_ms", NEVER_MS)
        // A machine that is busy must not make a step be done again.
        .set("/jobs/heartbeat_ms", 10_000)
        .run(async |app| {
            let user = app.user().await;
            let id = app.generate(&user, json!({"prompt": "a fox"})).await;
            bfl.arrived(Point::Submit, 1).await;
            let path = format!("/api/jobs/{id}/events");
            let mut stream = Stream::open(app, &path, &user.token, None).await;
            let mut told = vec![stream.block().await.unwrap()];
            bfl.open(Point::Submit);
            while let Some(block) = stream.block().await {
                told.push(block);
            }
            let known = [
                (id.as_str(), "job"),
                (user.id.as_str(), "user"),
                (app.base.as_str(), "base"),
            ];
            insta::assert_json_snapshot!("job_stream", blocks(&told, &known));

            // A finished job tells its state once; whoever has seen that need not come back.
            let mut again = Stream::open(app, &path, &user.token, None).await;
            let state = again.update().await.unwrap();
            assert_eq!(state["status"], "COMPLETED");
            assert_eq!(again.block().await, None);
            let request = app
                .request(Method::GET, &path)
                .bearer_auth(&user.token)
                .header("last-event-id", state["seq"].to_string());
            assert_eq!(app.send(request).await.status, 204);
            let resumed = format!("{path}?lastEventId=2");
            let mut resumed = Stream::open(app, &resumed, &user.token, None).await;
            let mut seqs = Vec::new();
            while let Some(update) = resumed.update().await {
                seqs.push(update["seq"].as_i64().unwrap());
            }
            let all: Vec<i64> = (3..=state["seq"].as_i64().unwrap()).collect();
            assert_eq!(seqs, all);

            // Its events are purged one day; the state is told all the same, once.
            app.execute("delete from job_events").await;
            let mut late = Stream::open(app, &path, &user.token, Some(2)).await;
            assert_eq!(late.update().await, Some(state));
            assert_eq!(late.block().await, None);
            let last = late.last_id.unwrap().to_string();
            let request = app
                .request(Method::GET, &path)
                .bearer_auth(&user.token)
                .header("last-event-id", last);
            assert_eq!(app.send(request).await.status, 204);
        })
        .await;
}

/// Each step is held up until its own event was told: none of them comes along with a later one.
#[tokio::test]
async fn every_change_of_a_job_is_announced_by_itself() {
    let bfl = Bfl::start().await;
    let gates = [Point::Submit, Point::Poll, Point::Download];
    for point in gates {
        bfl.close(point);
    }
    test_app()
        .worker()
        .flux(&bfl)
        .set("/realtime/net_interval_ms", NEVER_MS)
        // A machine that is busy must not make a step be done again.
        .set("/jobs/heartbeat_ms", 10_000)
        .set("/jobs/backoff_base_ms", 600_000)
        .set("/jobs/backoff_max_ms", 600_000)
        .run(async |app| {
            let user = app.user().await;
            let mut stream = Stream::open(app, "/api/events", &user.token, None).await;
            let begin = stream.block().await.unwrap();
            assert_eq!((begin.id, begin.event), (Some(0), None));
            let mut told = Vec::new();
            let mut until = async |stage: &str| loop {
                let update = stream.update().await.unwrap();
                let is_last = update["metadata"]["stage"] == stage;
                told.push(update);
                if is_last {
                    return;
                }
            };
            let done = app.generate(&user, json!({"prompt": "a fox"})).await;
            for (stage, gate) in ["starting", "generating", "storing"].into_iter().zip(gates) {
                until(stage).await;
                bfl.open(gate);
            }
            until("completed").await;
            bfl.fail_submissions([(500, json!({"detail": "Internal error"}))]);
            let waiting = app.generate(&user, json!({"prompt": "a hare"})).await;
            until("waiting to try again").await;
            bfl.fail_submissions([(422, json!({"detail": "Bad input"}))]);
            let failed = app.generate(&user, json!({"prompt": "an owl"})).await;
            until("failed").await;
            let known = [
                (done.as_str(), "good job"),
                (waiting.as_str(), "waiting job"),
                (failed.as_str(), "failed job"),
                (user.id.as_str(), "user"),
                (app.base.as_str(), "base"),
            ];
            insta::assert_json_snapshot!("job_updates", redact(&json!(told), &known));
        })
        .await;
}

#[tokio::test]
async fn an_admission_is_announced() {
    test_app()
        .set("/realtime/net_interval_ms", NEVER_MS)
        .run(async |app| {
            let user = app.user().await;
            let mut stream = Stream::open(app, "/api/events", &user.token, None).await;
            let id = app.generate(&user, json!({"prompt": "a fox"})).await;
            let update = stream.update().await.unwrap();
            assert_eq!(
                (&update["jobId"], &update["status"]),
                (&json!(id), &json!("PENDING"))
            );
        })
        .await;
}

#[tokio::test]
async fn streams_are_refused_clearly() {
    test_app()
        .set("/realtime/streams_per_user", 1)
        .set("/realtime/max_connections", 2)
        .run(async |app| {
            let (user, other, third) = (app.user().await, app.user().await, app.user().await);
            let foreign = app.generate(&other, json!({"prompt": "not yours"})).await;
            let mut answers = BTreeMap::new();
            let mut refuse = async |name: &str, path: &str, user: Option<&TestUser>, last: &str| {
                let mut request = app.request(Method::GET, path);
                if let Some(user) = user {
                    request = request.bearer_auth(&user.token);
                }
                if !last.is_empty() {
                    request = request.header("last-event-id", last);
                }
                let answer = app.send(request).await;
                let stable = stable(&answer, &[]);
                let retry_after = answer.header("retry-after").map(ToOwned::to_owned);
                answers.insert(name.to_owned(), json!([stable, retry_after]));
            };
            let missing = format!("/api/jobs/{}/events", uuid::Uuid::new_v4());
            let theirs = format!("/api/jobs/{foreign}/events");
            refuse("no token", "/api/events", None, "").await;
            refuse("no token, one job", &theirs, None, "").await;
            refuse("somebody else's job", &theirs, Some(&user), "").await;
            refuse("no such job", &missing, Some(&user), "").await;
            refuse("no id", "/api/jobs/fox/events", Some(&user), "").await;
            refuse("bad event id", "/api/events", Some(&user), "-1").await;
            refuse("no event id", &theirs, Some(&other), "last").await;
            let first = Stream::open(app, "/api/events", &user.token, None).await;
            refuse("too many of one user", "/api/events", Some(&user), "").await;
            let _second = Stream::open(app, &theirs, &other.token, None).await;
            refuse("too many in all", "/api/events", Some(&third), "").await;
            insta::assert_json_snapshot!("refused_streams", answers);
            // A closed stream frees its place.
            drop(first);
            app.until("a free place", || async {
                let request = app.request(Method::GET, "/api/events");
                let request = request.bearer_auth(&user.token).send();
                (request.await.unwrap().status() == 200).then_some(())
            })
            .await;
        })
        .await;
}

#[tokio::test]
async fn a_silent_stream_is_kept_open_and_ends_with_its_token() {
    test_app()
        .set("/realtime/keep_alive_ms", 100)
        .run(async |app| {
            let user = app.user().await;
            let mut claims = tokens::claims(&user.id, &user.email);
            claims["exp"] = json!(chrono::Utc::now().timestamp() + 6);
            let token = tokens::good(&claims);
            let mut stream = Stream::open(app, "/api/events", &token, None).await;
            let mut comments = 0;
            while let Some(block) = stream.block().await {
                comments += usize::from(block.comment.is_some());
            }
            assert!(comments >= 3, "{comments} comments");
            // A token is still taken in the second in which it ends.
            app.until("the token's end", || async {
                let request = app.request(Method::GET, "/api/events");
                let answer = request.bearer_auth(&token).send().await.unwrap();
                (answer.status() == 401).then_some(())
            })
            .await;
        })
        .await;
}

#[tokio::test]
async fn payloads_show_addresses_and_nothing_private() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            let job = app.generate(&user, json!({"prompt": "a fox"})).await;
            let mut stream = Stream::open(app, "/api/events", &user.token, None).await;
            let metadata = json!({"items": [{"index": 0, "resultKey": "generated-images/u/j-1.png"}]});
            app.execute(&format!(
                "with number as (update event_sequences set last_seq = last_seq + 1
                    where user_id = '{0}' returning last_seq)
                 insert into job_events (user_id, seq, job_id, payload)
                 select '{0}', last_seq, '{job}', jsonb_build_object('status', 'COMPLETED', 'progress', 100,
                    'type', 'BATCH_GENERATION', 'resultKey', 'generated-images/u/j-1.png',
                    'errorDetail', 'private', 'metadata', '{metadata}'::jsonb) from number",
                user.id
            ))
            .await;
            let update = stream.update().await.unwrap();
            let known = [(job.as_str(), "job"), (app.base.as_str(), "base")];
            insta::assert_json_snapshot!("open_metadata", redact(&update, &known));
        })
        .await;
}
