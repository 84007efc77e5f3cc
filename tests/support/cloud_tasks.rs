//! A stand-in of the Cloud Tasks REST API (v2) that really dispatches: names with their tombstones,
//! schedule times, retries with back-off, and on demand duplicates, lost answers and outages.

mod api;
mod dispatch;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use chrono::{DateTime, Utc};
use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use serde_json::Value;
use tokio::{net::TcpListener, sync::Notify};
use tower::ServiceExt;

use super::google::Google;

pub const PROJECT: &str = "test-project";
pub const LOCATION: &str = "europe-central2";

/// Pauses between the tries of a task, as a queue's retry configuration has them.
const MIN_BACKOFF: Duration = Duration::from_millis(50);
const MAX_BACKOFF: Duration = Duration::from_millis(400);

/// What happens to the next creation of a task.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Answered with this status; nothing is created.
    Status(u16),
    /// Created, but the connection is cut before the answer.
    LoseAnswer,
}

/// How the whole API is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outage {
    /// Every call is answered 503.
    Unavailable,
    /// Nobody listens.
    Refused,
}

/// One call of the API.
#[derive(Debug, Clone)]
pub struct Call {
    pub method: String,
    pub path: String,
    pub authorization: Option<String>,
    pub body: Value,
    pub status: u16,
}

/// One try to deliver a task.
#[derive(Debug, Clone)]
pub struct Dispatch {
    /// Name within its queue.
    pub task: String,
    pub queue: String,
    pub url: String,
    pub headers: BTreeMap<String, String>,
    pub body: Value,
    /// 0 when there was no answer.
    pub status: u16,
    pub answer: Value,
}

#[derive(Debug, Clone)]
struct Task {
    /// As it was given, defaults filled in.
    json: Value,
    next: DateTime<Utc>,
    dispatches: u32,
    responses: u32,
    /// The last time a try began.
    dispatched: Option<DateTime<Utc>>,
    is_under_way: bool,
}

#[derive(Debug, Clone)]
struct Queue {
    is_paused: bool,
    max_concurrent: usize,
    max_attempts: u32,
}

#[derive(Default)]
struct State {
    queues: BTreeMap<String, Queue>,
    tasks: BTreeMap<String, Task>,
    /// Names that were used and may not come again.
    tombstones: BTreeSet<String>,
    faults: VecDeque<Fault>,
    outage: Option<Outage>,
    duplicates: usize,
    calls: Vec<Call>,
    dispatches: Vec<Dispatch>,
    /// Where tasks go instead of the origin of their address: a load balancer in front of it.
    backends: Vec<String>,
    turn: usize,
    token: Option<String>,
}

/// The stand-in.
#[derive(Clone)]
pub struct CloudTasks {
    pub base: String,
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
    google: Option<Google>,
}

/// Marks an answer that is not sent: the connection is cut instead.
#[derive(Debug, Clone, Copy)]
struct Cut;

impl CloudTasks {
    /// Starts with the five queues of generation jobs.
    pub async fn start() -> Self {
        Self::start_with(None).await
    }

    /// The same; OIDC tokens of tasks are signed by `google`.
    pub async fn start_with(google: Option<Google>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let this = Self {
            base: format!("http://{address}"),
            address,
            state: Arc::default(),
            changed: Arc::default(),
            google,
        };
        for queue in daygen::queue::GENERATION_QUEUES {
            this.create_queue(queue);
        }
        tokio::spawn(this.clone().listen(listener));
        tokio::spawn(this.clone().dispatch_all());
        this
    }

    pub fn parent() -> String {
        format!("projects/{PROJECT}/locations/{LOCATION}")
    }

    /// The full name of a queue.
    pub fn queue_name(queue: &str) -> String {
        format!("{}/queues/{queue}", Self::parent())
    }

    pub fn create_queue(&self, queue: &str) {
        let queue_settings = Queue {
            is_paused: false,
            max_concurrent: 100,
            max_attempts: 1_000,
        };
        self.lock()
            .queues
            .insert(Self::queue_name(queue), queue_settings);
    }

    pub fn delete_queue(&self, queue: &str) {
        self.lock().queues.remove(&Self::queue_name(queue));
    }

    /// Holds every task back until [`CloudTasks::resume`].
    pub fn pause(&self) {
        for queue in self.lock().queues.values_mut() {
            queue.is_paused = true;
        }
    }

    pub fn resume(&self) {
        for queue in self.lock().queues.values_mut() {
            queue.is_paused = false;
        }
        self.changed.notify_waiters();
        self.changed.notify_one();
    }

    /// The next creations end so, one each.
    pub fn fail_creations(&self, faults: impl IntoIterator<Item = Fault>) {
        self.lock().faults.extend(faults);
    }

    /// Begins an outage or, with `None`, ends it.
    pub fn set_outage(&self, outage: Option<Outage>) {
        self.lock().outage = outage;
        self.changed.notify_waiters();
    }

    /// The next `n` tasks that succeed are delivered once more.
    pub fn duplicate(&self, n: usize) {
        self.lock().duplicates = n;
    }

    /// Tasks go to these bases in turn.
    pub fn balance(&self, backends: &[&str]) {
        self.lock().backends = backends.iter().map(|base| (*base).to_owned()).collect();
    }

    /// Only calls with this access token are answered.
    pub fn require_token(&self, token: &str) {
        self.lock().token = Some(token.to_owned());
    }

    /// Deletes every task, as an operator who purges the queues does.
    pub fn purge(&self) -> usize {
        let mut state = self.lock();
        let names: Vec<String> = state.tasks.keys().cloned().collect();
        for name in &names {
            state.tasks.remove(name);
            state.tombstones.insert(name.clone());
        }
        names.len()
    }

    /// Names (within their queues) of the tasks that are there.
    pub fn tasks(&self) -> Vec<String> {
        self.lock().tasks.keys().map(|name| short(name)).collect()
    }

    /// The tasks as they were created, in order; repeats of a name left out.
    pub fn created(&self) -> Vec<Value> {
        self.lock()
            .calls
            .iter()
            .filter(|call| call.method == "POST" && call.path.ends_with("/tasks"))
            .filter(|call| call.status == 200)
            .map(|call| call.body["task"].clone())
            .collect()
    }

    pub fn calls(&self) -> Vec<Call> {
        self.lock().calls.clone()
    }

    pub fn dispatches(&self) -> Vec<Dispatch> {
        self.lock().dispatches.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    async fn listen(self, first: TcpListener) {
        let mut listener = Some(first);
        loop {
            if self.lock().outage == Some(Outage::Refused) {
                listener = None;
                tokio::time::sleep(Duration::from_millis(5)).await;
                continue;
            }
            let Some(open) = &listener else {
                listener = TcpListener::bind(self.address).await.ok();
                continue;
            };
            let accepted = tokio::time::timeout(Duration::from_millis(5), open.accept()).await;
            if let Ok(Ok((stream, _))) = accepted {
                tokio::spawn(self.clone().serve(stream));
            }
        }
    }

    async fn serve(self, stream: tokio::net::TcpStream) {
        let router = api::router(self.clone());
        let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let (router, this) = (router.clone(), self.clone());
            async move {
                let cut = || std::io::Error::other("cut");
                if this.lock().outage == Some(Outage::Refused) {
                    return Err(cut());
                }
                let Ok(response) = router.oneshot(request.map(axum::body::Body::new)).await;
                match response.extensions().get::<Cut>() {
                    Some(Cut) => Err(cut()),
                    None => Ok(response),
                }
            }
        });
        Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service)
            .await
            .ok();
    }
}

/// The last part of a resource name.
fn short(name: &str) -> String {
    name.rsplit('/').next().unwrap_or_default().to_owned()
}
