//! A scripted stand-in of a provider's API. Its answers are files of true answers; a request belongs to
//! the case whose number is in its prompt or task, so many cases run at the same time.

mod answer;
mod record;

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
    time::Instant,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::pictures;
pub use answer::Delivery;
pub use record::Call;

/// Path of a picture that requests may name.
const SOURCE: &str = "/_source.png";

/// The key that the stand-in takes.
pub const KEY: &str = "key-of-the-tests-that-must-stay-secret";

/// Where a provider wants its key.
#[derive(Debug, Clone, Copy)]
pub enum KeyAt {
    Bearer,
    Header(&'static str),
    #[allow(dead_code)]
    /// `Bearer` with a value made anew for each call; only its presence is checked.
    MadeBearer,
}

/// What is to be known about an API to stand in for it.
#[derive(Clone, Copy)]
pub struct Api {
    /// Folder of its answers below `tests/fixtures/providers`.
    pub name: &'static str,
    /// Its settings block.
    pub account: &'static str,
    /// Path of the base address; empty or beginning with `/`.
    pub base_path: &'static str,
    pub key: KeyAt,
    /// Role, method and path of each call; `*` is any text within a segment. The role `submit` starts
    /// work and `poll` looks at a task; each role answers with its files `<role>.<name>.json`.
    pub routes: &'static [(&'static str, &'static str, &'static str)],
    /// What results are: `png` or `mp4`.
    pub media: &'static str,
}

/// One answer of a script.
#[derive(Debug, Clone)]
pub enum Reply {
    /// The file `<role>.<name>.json`.
    Fixture(String),
    /// Status, headers, body.
    Status(u16, Vec<(&'static str, String)>, String),
    /// The connection is cut in the middle of a good answer.
    Cut,
    /// Good status and type, but no JSON.
    Garbage,
    /// A page instead of an answer.
    Page,
    /// More than anybody wants.
    Huge,
    /// Never an answer.
    Silence,
}

/// What a case answers in one role: one after the other, then for ever.
#[derive(Debug, Clone, Default)]
pub struct Script {
    pub first: VecDeque<Reply>,
    /// `None`: the file `<role>.ok.json`.
    pub then: Option<Reply>,
}

impl Script {
    /// Always the same answer.
    pub fn always(reply: Reply) -> Self {
        Self {
            first: VecDeque::new(),
            then: Some(reply),
        }
    }

    /// These answers, then good ones.
    pub fn once(replies: impl IntoIterator<Item = Reply>) -> Self {
        Self {
            first: replies.into_iter().collect(),
            then: None,
        }
    }
}

#[derive(Default)]
struct Shared {
    base: Mutex<String>,
    calls: Mutex<Vec<Call>>,
    scripts: Mutex<HashMap<(usize, String), Script>>,
    deliveries: Mutex<HashMap<usize, VecDeque<Delivery>>>,
    /// The case of requests that carry no number.
    assumed: Mutex<usize>,
    /// What must never happen.
    faults: Mutex<Vec<String>>,
}

/// The stand-in.
#[derive(Clone)]
pub struct Upstream {
    pub api: Api,
    /// What to set as base address.
    pub base: String,
    shared: Arc<Shared>,
}

impl Upstream {
    pub async fn start(api: Api) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared::default());
        shared.base.lock().unwrap().clone_from(&origin);
        let upstream = Self {
            api,
            base: format!("{origin}{}", api.base_path),
            shared,
        };
        let app = Router::new()
            .fallback(answer)
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state(upstream.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        upstream
    }

    /// What a case answers in a role.
    pub fn script(&self, case: usize, role: &str, script: Script) {
        let mut scripts = self.shared.scripts.lock().unwrap();
        scripts.insert((case, role.to_owned()), script);
    }

    /// How the next downloads of a case's results go; then they are good.
    pub fn deliver(&self, case: usize, deliveries: impl IntoIterator<Item = Delivery>) {
        let mut all = self.shared.deliveries.lock().unwrap();
        all.insert(case, deliveries.into_iter().collect());
    }

    /// Takes requests without a number for this case.
    pub fn assume(&self, case: usize) {
        *self.shared.assumed.lock().unwrap() = case;
    }

    /// The calls of a case in a role.
    pub fn calls(&self, case: usize, role: &str) -> Vec<Call> {
        let calls = self.shared.calls.lock().unwrap();
        calls
            .iter()
            .filter(|call| call.case == case && call.role == role)
            .cloned()
            .collect()
    }

    /// All calls of a case, downloads not among them.
    pub fn calls_of(&self, case: usize) -> Vec<Call> {
        let calls = self.shared.calls.lock().unwrap();
        calls
            .iter()
            .filter(|call| call.case == case)
            .cloned()
            .collect()
    }

    /// What must never happen and did.
    pub fn faults(&self) -> Vec<String> {
        self.shared.faults.lock().unwrap().clone()
    }

    /// A request with the address of a picture of ours where it says `{{source}}`.
    pub fn placed(&self, request: Value) -> Value {
        let origin = self.shared.base.lock().unwrap().clone();
        let text = request
            .to_string()
            .replace("{{source}}", &format!("{origin}{SOURCE}"));
        serde_json::from_str(&text).unwrap()
    }

    /// Whether there are tasks to look at.
    pub fn polls(&self) -> bool {
        self.api.routes.iter().any(|(role, ..)| *role == "poll")
    }

    /// The names of the files of a role: `moderated_prompt` for `submit.moderated_prompt.json`.
    pub fn fixtures(&self, role: &str) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(answer::folder(self.api.name))
            .unwrap_or_else(|error| panic!("the answers of {}: {error}", self.api.name))
            .filter_map(|entry| {
                let name = entry.unwrap().file_name().into_string().unwrap();
                let name = name.strip_prefix(role)?.strip_prefix('.')?;
                Some(name.strip_suffix(".json")?.to_owned())
            })
            .collect();
        names.sort();
        names
    }

    fn fault(&self, text: String) {
        self.shared.faults.lock().unwrap().push(text);
    }

    fn has_key(&self, headers: &HeaderMap) -> bool {
        let value = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        match self.api.key {
            KeyAt::Bearer => value("authorization") == Some(&format!("Bearer {KEY}")),
            KeyAt::Header(name) => value(name) == Some(KEY),
            KeyAt::MadeBearer => {
                value("authorization").is_some_and(|value| value.starts_with("Bearer "))
            }
        }
    }

    fn role(&self, method: &Method, path: &str) -> Option<&'static str> {
        let path = path.strip_prefix(self.api.base_path)?;
        self.api
            .routes
            .iter()
            .find(|(_, verb, pattern)| *verb == method.as_str() && matches(pattern, path))
            .map(|(role, ..)| *role)
    }

    fn next_reply(&self, case: usize, role: &str) -> Reply {
        let mut scripts = self.shared.scripts.lock().unwrap();
        let script = scripts.entry((case, role.to_owned())).or_default();
        script
            .first
            .pop_front()
            .or_else(|| script.then.clone())
            .unwrap_or_else(|| Reply::Fixture("ok".to_owned()))
    }
}

/// Whether a path is one of a pattern's, segment by segment.
fn matches(pattern: &str, path: &str) -> bool {
    let (pattern, path): (Vec<_>, Vec<_>) =
        (pattern.split('/').collect(), path.split('/').collect());
    pattern.len() == path.len()
        && pattern
            .iter()
            .zip(path)
            .all(|(pattern, segment)| match pattern.split_once('*') {
                None => *pattern == segment,
                Some((head, tail)) => {
                    segment.len() > head.len() + tail.len()
                        && segment.starts_with(head)
                        && segment.ends_with(tail)
                }
            })
}

async fn answer(
    State(upstream): State<Upstream>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let at = Instant::now();
    if uri.path() == SOURCE {
        return (
            [(header::CONTENT_TYPE, "image/png")],
            pictures::png(400, 320),
        )
            .into_response();
    }
    if let Some(rest) = uri.path().strip_prefix("/_result/") {
        return upstream.result(rest, &headers).await;
    }
    let Some(role) = upstream.role(&method, uri.path()) else {
        upstream.fault(format!("an unknown call: {method} {}", uri.path()));
        return (
            StatusCode::NOT_FOUND,
            axum::Json(json!({"error": "no such path"})),
        )
            .into_response();
    };
    if !upstream.has_key(&headers) {
        upstream.fault(format!("a call without the key: {method} {}", uri.path()));
        return (
            StatusCode::UNAUTHORIZED,
            axum::Json(json!({"error": "no key"})),
        )
            .into_response();
    }
    let case = record::case_of(&uri, &body).unwrap_or(*upstream.shared.assumed.lock().unwrap());
    let call = Call {
        role,
        case,
        method: method.to_string(),
        path: uri.to_string(),
        headers,
        body,
        at,
    };
    let n = {
        let mut calls = upstream.shared.calls.lock().unwrap();
        calls.push(call);
        calls.len()
    };
    let reply = upstream.next_reply(case, role);
    upstream.reply(role, case, n, reply).await
}

/// The body of a call as a value that can be compared.
pub fn shown(call: &Call, upstream: &Upstream) -> Value {
    record::shown(call, &upstream.base, upstream.api.key)
}
