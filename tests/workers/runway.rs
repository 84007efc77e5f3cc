//! Runway: pictures that are too large for a body are uploaded first, and what nobody wants any more
//! is cancelled there.

use std::sync::{Arc, Mutex};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Multipart, State},
    http::HeaderMap,
    routing::{get, post},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{
    providers::runway,
    support::{
        pictures, test_app,
        upstream::{Reply, Script, Upstream},
    },
};

/// What arrived: the parts of the upload, whether it had a key, and the request for the picture.
#[derive(Default)]
struct Arrived {
    parts: Vec<(String, Vec<u8>)>,
    had_key: bool,
    wanted: Value,
}

type Shared = Arc<(String, Mutex<Arrived>)>;

async fn start() -> Shared {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let shared: Shared = Arc::new((base, Mutex::default()));
    let app = Router::new()
        .route("/v1/uploads", post(place))
        .route("/store", post(store))
        .route("/v1/text_to_image", post(submit))
        .route("/v1/tasks/{id}", get(task))
        .route("/made.png", get(|| async { pictures::png(96, 64) }))
        .layer(DefaultBodyLimit::disable())
        .with_state(Arc::clone(&shared));
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    shared
}

async fn place(State(shared): State<Shared>, Json(body): Json<Value>) -> Json<Value> {
    assert_eq!(
        body,
        json!({"filename": "picture.png", "type": "ephemeral"})
    );
    Json(json!({
        "runwayUri": "runway://upload-1", "uploadUrl": format!("{}/store", shared.0),
        "fields": {"key": "uploads/1", "policy": "signed"},
    }))
}

async fn store(State(shared): State<Shared>, headers: HeaderMap, mut form: Multipart) {
    let mut parts = Vec::new();
    while let Some(part) = form.next_field().await.unwrap() {
        let name = part.name().unwrap().to_owned();
        parts.push((name, part.bytes().await.unwrap().to_vec()));
    }
    let mut arrived = shared.1.lock().unwrap();
    arrived.parts = parts;
    arrived.had_key = headers.contains_key("authorization");
}

async fn submit(State(shared): State<Shared>, Json(body): Json<Value>) -> Json<Value> {
    shared.1.lock().unwrap().wanted = body;
    Json(json!({"id": "task-1", "estimatedCost": {"credits": 8}}))
}

async fn task(State(shared): State<Shared>) -> Json<Value> {
    Json(
        json!({"id": "task-1", "status": "SUCCEEDED", "output": [format!("{}/made.png", shared.0)]}),
    )
}

#[tokio::test]
async fn a_large_picture_is_uploaded_without_the_key() {
    let shared = start().await;
    test_app()
        .worker()
        .set("/providers/runway/api_key", "a key")
        .set("/providers/runway/base_url", shared.0.as_str())
        .run(async |app| {
            let user = app.user().await;
            let mut large = pictures::png(64, 64);
            large.resize(4_000_000, 0);
            let small = pictures::data_url(8, 8);
            let body = json!({
                "prompt": "a fox", "references": [small, STANDARD.encode(&large)],
            });
            let answer = app.post("/api/image/runway", Some(&user.token), body).await;
            assert_eq!(answer.status, 201, "{}", answer.json);
            let id = answer.json["jobId"].as_str().unwrap();
            let job = app.final_job(&user, id).await;
            assert_eq!(job["status"], "COMPLETED", "{job}");
            let arrived = shared.1.lock().unwrap();
            assert_eq!(
                arrived.wanted["referenceImages"],
                json!([{"uri": small, "tag": "ref1"}, {"uri": "runway://upload-1", "tag": "ref2"}])
            );
            let names: Vec<_> = arrived
                .parts
                .iter()
                .map(|(name, _)| name.as_str())
                .collect();
            assert_eq!(names, ["key", "policy", "file"]);
            assert!(arrived.parts[2].1 == large, "other bytes than were given");
            assert!(!arrived.had_key, "the key went to the host of uploads");
        })
        .await;
}

#[tokio::test]
async fn a_cancelled_job_is_cancelled_upstream() {
    let upstream = Upstream::start(runway::SPEC.api).await;
    let running = Script::always(Reply::Fixture("pending_running".to_owned()));
    upstream.script(1, "poll", running);
    upstream.script(
        1,
        "cancel",
        Script::always(Reply::Status(204, Vec::new(), String::new())),
    );
    test_app()
        .worker()
        .upstream(&upstream)
        .run(async |app| {
            let user = app.user().await;
            let body = json!({"prompt": "a fox [case 1]"});
            let answer = app.post("/api/image/runway", Some(&user.token), body).await;
            let id = answer.json["jobId"].as_str().unwrap().to_owned();
            app.until("the first look", || async {
                (!upstream.calls(1, "poll").is_empty()).then_some(())
            })
            .await;
            let path = format!("/api/jobs/{id}/cancel");
            let answer = app.post(&path, Some(&user.token), json!({})).await;
            assert!(answer.status < 300, "{} {}", answer.status, answer.json);
            let job = app.final_job(&user, &id).await;
            assert_eq!(job["status"], "CANCELLED", "{job}");
            app.until("the call that cancels", || async {
                (upstream.calls(1, "cancel").len() == 1).then_some(())
            })
            .await;
            let looked = upstream.calls(1, "poll")[0].path.clone();
            assert_eq!(upstream.calls(1, "cancel")[0].path, looked);
            assert_eq!(app.credits(&user).await, 20);
        })
        .await;
}
