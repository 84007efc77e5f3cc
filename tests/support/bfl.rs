//! A stand-in of Black Forest Labs' API with recorded answers, gates and faults on demand.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::pictures;

pub const KEY: &str = "bfl-test-key";
/// How long requests may take to arrive.
const LIMIT: Duration = Duration::from_secs(120);

/// Where a request may be held up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    Submit,
    Poll,
    Download,
}

#[derive(Default)]
struct Shared {
    base: Mutex<String>,
    submissions: Mutex<Vec<Value>>,
    submit_faults: Mutex<VecDeque<(u16, Value)>>,
    polls: AtomicUsize,
    /// Answers of polls, the last one for ever.
    statuses: Mutex<VecDeque<Value>>,
    /// The same for one prompt, before those for all.
    submit_faults_of: Mutex<HashMap<String, VecDeque<(u16, Value)>>>,
    statuses_of: Mutex<HashMap<String, VecDeque<Value>>>,
    /// Tasks that were accepted and not yet told to be over, and the most there ever were.
    open: Mutex<HashSet<String>>,
    peak: AtomicUsize,
    download: Mutex<Option<Vec<u8>>>,
    gates: [AtomicBool; 3],
    arrivals: [AtomicUsize; 3],
    arrived: Notify,
    opened: Notify,
}

/// The stand-in.
#[derive(Clone)]
pub struct Bfl {
    pub base: String,
    shared: Arc<Shared>,
}

impl Bfl {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared::default());
        shared.base.lock().unwrap().clone_from(&base);
        let app = Router::new()
            .route("/v1/get_result", get(poll))
            .route("/v1/{model}", post(submit))
            .route("/delivery/{name}", get(download))
            .with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { base, shared }
    }

    /// The bodies of all submissions, with the model of their path.
    pub fn submissions(&self) -> Vec<Value> {
        self.shared.submissions.lock().unwrap().clone()
    }

    pub fn polls(&self) -> usize {
        self.shared.polls.load(Ordering::SeqCst)
    }

    /// The next submissions are answered so, one each.
    pub fn fail_submissions(&self, faults: impl IntoIterator<Item = (u16, Value)>) {
        self.shared.submit_faults.lock().unwrap().extend(faults);
    }

    /// Polls are answered so, one each; the last answer stays.
    pub fn answer_polls(&self, statuses: impl IntoIterator<Item = Value>) {
        *self.shared.statuses.lock().unwrap() = statuses.into_iter().collect();
    }

    /// The next submissions of this prompt are answered so, one each.
    pub fn fail_submissions_of(
        &self,
        prompt: &str,
        faults: impl IntoIterator<Item = (u16, Value)>,
    ) {
        let faults = faults.into_iter().collect();
        let mut all = self.shared.submit_faults_of.lock().unwrap();
        all.insert(prompt.to_owned(), faults);
    }

    /// Polls of this prompt's tasks are answered so, one each; the last answer stays.
    pub fn answer_polls_of(&self, prompt: &str, statuses: impl IntoIterator<Item = Value>) {
        let statuses = statuses.into_iter().collect();
        let mut all = self.shared.statuses_of.lock().unwrap();
        all.insert(prompt.to_owned(), statuses);
    }

    /// How often a prompt was submitted.
    pub fn submissions_of(&self, prompt: &str) -> usize {
        let submissions = self.submissions();
        submissions
            .iter()
            .filter(|body| body["prompt"] == prompt)
            .count()
    }

    /// The most tasks that were open at the same time.
    pub fn peak(&self) -> usize {
        self.shared.peak.load(Ordering::SeqCst)
    }

    /// The delivered file.
    pub fn deliver(&self, bytes: Vec<u8>) {
        *self.shared.download.lock().unwrap() = Some(bytes);
    }

    /// Requests at this point wait until it is opened.
    pub fn close(&self, point: Point) {
        self.shared.gates[point as usize].store(true, Ordering::SeqCst);
    }

    pub fn open(&self, point: Point) {
        self.shared.gates[point as usize].store(false, Ordering::SeqCst);
        self.shared.opened.notify_waiters();
    }

    /// Resolves when `n` requests have arrived at this point since the start.
    pub async fn arrived(&self, point: Point, n: usize) {
        let arrivals = || self.shared.arrivals[point as usize].load(Ordering::SeqCst);
        let all = async {
            loop {
                let arrived = self.shared.arrived.notified();
                if arrivals() >= n {
                    return;
                }
                arrived.await;
            }
        };
        if tokio::time::timeout(LIMIT, all).await.is_err() {
            panic!("{} of {n} requests arrived at {point:?}", arrivals());
        }
    }
}

impl Shared {
    fn prompt_of(&self, task: &str) -> String {
        let n: usize = task
            .strip_prefix("task-")
            .and_then(|n| n.parse().ok())
            .unwrap_or_default();
        let submissions = self.submissions.lock().unwrap();
        submissions
            .get(n.wrapping_sub(1))
            .and_then(|body| body["prompt"].as_str())
            .unwrap_or_default()
            .to_owned()
    }

    async fn pass(&self, point: Point) {
        self.arrivals[point as usize].fetch_add(1, Ordering::SeqCst);
        self.arrived.notify_waiters();
        loop {
            let opened = self.opened.notified();
            if !self.gates[point as usize].load(Ordering::SeqCst) {
                return;
            }
            opened.await;
        }
    }
}

/// The next answer of a script; the last one stays.
fn next_of(script: &mut VecDeque<Value>) -> Option<Value> {
    if script.len() > 1 {
        script.pop_front()
    } else {
        script.front().cloned()
    }
}

fn refuse_key(headers: &HeaderMap) -> Option<Response> {
    let is_ours = headers.get("x-key").is_some_and(|key| key == KEY);
    (!is_ours).then(|| {
        (
            StatusCode::FORBIDDEN,
            Json(json!({"detail": "Not authenticated"})),
        )
            .into_response()
    })
}

async fn submit(
    State(shared): State<Arc<Shared>>,
    Path(model): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Some(refusal) = refuse_key(&headers) {
        return refusal;
    }
    let mut body: Value = serde_json::from_slice(&body).unwrap();
    body["_model"] = model.into();
    let prompt = body["prompt"].as_str().unwrap_or_default().to_owned();
    let n = {
        let mut submissions = shared.submissions.lock().unwrap();
        submissions.push(body);
        submissions.len()
    };
    shared.pass(Point::Submit).await;
    let own_fault = shared
        .submit_faults_of
        .lock()
        .unwrap()
        .get_mut(&prompt)
        .and_then(VecDeque::pop_front);
    let fault = own_fault.or_else(|| shared.submit_faults.lock().unwrap().pop_front());
    if let Some((status, body)) = fault {
        return (StatusCode::from_u16(status).unwrap(), Json(body)).into_response();
    }
    let base = shared.base.lock().unwrap().clone();
    let id = format!("task-{n}");
    {
        let mut open = shared.open.lock().unwrap();
        open.insert(id.clone());
        shared.peak.fetch_max(open.len(), Ordering::SeqCst);
    }
    Json(json!({
        "id": id,
        "polling_url": format!("{base}/v1/get_result?id={id}"),
        "cost": 4.0,
        "input_mp": 0.0,
        "output_mp": 1.05,
    }))
    .into_response()
}

async fn poll(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<std::collections::HashMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    if let Some(refusal) = refuse_key(&headers) {
        return refusal;
    }
    shared.polls.fetch_add(1, Ordering::SeqCst);
    shared.pass(Point::Poll).await;
    let id = query.get("id").cloned().unwrap_or_default();
    let prompt = shared.prompt_of(&id);
    let own = shared
        .statuses_of
        .lock()
        .unwrap()
        .get_mut(&prompt)
        .and_then(next_of);
    let scripted = own.or_else(|| next_of(&mut shared.statuses.lock().unwrap()));
    let is_over = scripted
        .as_ref()
        .is_none_or(|answer| answer.get("_http").is_none() && answer["status"] != "Pending");
    if is_over {
        shared.open.lock().unwrap().remove(&id);
    }
    if let Some(answer) = scripted {
        if let Some(status) = answer.get("_http").and_then(Value::as_u64) {
            let status = StatusCode::from_u16(u16::try_from(status).unwrap()).unwrap();
            return (status, Json(answer)).into_response();
        }
        if answer["status"] != "Ready" || answer.get("result").is_some() {
            return Json(answer).into_response();
        }
    }
    let base = shared.base.lock().unwrap().clone();
    Json(json!({
        "id": id,
        "status": "Ready",
        "result": {
            "sample": format!("{base}/delivery/{id}.png?sig=secret"),
            "prompt": "a fox",
            "seed": 42,
            "start_time": 1_763_000_000.1,
            "end_time": 1_763_000_003.9,
            "duration": 3.8,
        },
        "progress": null,
        "details": null,
        "preview": null,
    }))
    .into_response()
}

async fn download(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    assert!(
        headers.get("x-key").is_none(),
        "the key must not go to the delivery host"
    );
    shared.pass(Point::Download).await;
    let bytes = shared
        .download
        .lock()
        .unwrap()
        .clone()
        .unwrap_or_else(|| pictures::png(96, 64));
    ([(header::CONTENT_TYPE, "image/png")], Body::from(bytes)).into_response()
}
