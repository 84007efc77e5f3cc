//! The REST surface: queues and tasks as `google.cloud.tasks.v2` describes them.

use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::{Call, CloudTasks, Cut, Fault, Outage, Queue, State as Shared, Task};

/// Bounds of the API, in seconds.
const MIN_DEADLINE_S: f64 = 15.0;
const MAX_DEADLINE_S: f64 = 1_800.0;
const MAX_SCHEDULE_DAYS: i64 = 30;
/// Largest task, bytes.
const MAX_TASK: usize = 1024 * 1024;

type Answer = Result<Value, (u16, &'static str, String)>;

pub fn router(this: CloudTasks) -> Router {
    Router::new().fallback(handle).with_state(this)
}

async fn handle(
    State(this): State<CloudTasks>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    bytes: Bytes,
) -> Response {
    let body: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    let authorization = headers
        .get(header::AUTHORIZATION)
        .map(|value| value.to_str().unwrap().to_owned());
    let (answer, is_lost) =
        this.answer(&method, &uri, authorization.as_deref(), &body, bytes.len());
    let (status, json) = match answer {
        Ok(json) => (200, json),
        Err((code, status, message)) => {
            let error = json!({"code": code, "message": message, "status": status});
            (code, json!({ "error": error }))
        }
    };
    this.lock().calls.push(Call {
        method: method.to_string(),
        path: uri.path().to_owned(),
        authorization,
        body,
        status,
    });
    this.changed.notify_waiters();
    this.changed.notify_one();
    let mut response = (StatusCode::from_u16(status).unwrap(), Json(json)).into_response();
    if is_lost {
        response.extensions_mut().insert(Cut);
    }
    response
}

impl CloudTasks {
    fn answer(
        &self,
        method: &Method,
        uri: &Uri,
        authorization: Option<&str>,
        body: &Value,
        size: usize,
    ) -> (Answer, bool) {
        let mut state = self.lock();
        if state.outage == Some(Outage::Unavailable) {
            return (unavailable(503), false);
        }
        let wanted = state.token.as_ref().map(|token| format!("Bearer {token}"));
        if wanted.is_some() && wanted.as_deref() != authorization {
            let message = "Request had invalid authentication credentials.".to_owned();
            return (Err((401, "UNAUTHENTICATED", message)), false);
        }
        let path = uri.path().trim_start_matches("/v2/");
        let (path, verb) = match path.rsplit_once(':') {
            Some((path, verb)) => (path, Some(verb)),
            None => (path, None),
        };
        let parts: Vec<&str> = path.split('/').collect();
        let mut is_lost = false;
        let answer = match (method.as_str(), parts.as_slice(), verb) {
            ("GET", [.., "queues"], None) => Ok(json!({
                "queues": state.queues.iter().map(|(name, queue)| queue_json(name, queue)).collect::<Vec<_>>()
            })),
            ("POST", [.., "queues"], None) => create_queue(&mut state, path, body),
            ("GET", [.., "queues", _], None) => with_queue(&state, path),
            ("DELETE", [.., "queues", _], None) => delete_queue(&mut state, path),
            ("POST", [.., "queues", _], Some(verb)) => change_queue(&mut state, path, verb),
            ("GET", [.., "queues", _, "tasks"], None) => list_tasks(&state, path),
            ("POST", [.., "queues", _, "tasks"], None) => match state.faults.pop_front() {
                Some(Fault::Status(status)) => unavailable(status),
                Some(Fault::LoseAnswer) => {
                    is_lost = true;
                    create_task(&mut state, path, body, size)
                }
                None => create_task(&mut state, path, body, size),
            },
            ("GET", [.., "tasks", _], None) => {
                let is_full = uri.query().is_some_and(|query| {
                    query.contains("responseView=FULL") || query.contains("responseView=2")
                });
                match state.tasks.get(path) {
                    Some(task) => Ok(view(task, is_full)),
                    None => Err(task_not_found()),
                }
            }
            ("DELETE", [.., "tasks", _], None) => match state.tasks.remove(path) {
                Some(_) => {
                    state.tombstones.insert(path.to_owned());
                    Ok(json!({}))
                }
                None => Err(task_not_found()),
            },
            ("POST", [.., "tasks", _], Some("run")) => match state.tasks.get_mut(path) {
                Some(task) => {
                    task.next = Utc::now();
                    Ok(view(task, false))
                }
                None => Err(task_not_found()),
            },
            _ => Err((404, "NOT_FOUND", "Method not found.".to_owned())),
        };
        (answer, is_lost)
    }
}

fn unavailable(code: u16) -> Answer {
    let status = match code {
        400 => "INVALID_ARGUMENT",
        403 => "PERMISSION_DENIED",
        429 => "RESOURCE_EXHAUSTED",
        500 => "INTERNAL",
        _ => "UNAVAILABLE",
    };
    Err((code, status, "The service says so.".to_owned()))
}

fn task_not_found() -> (u16, &'static str, String) {
    (404, "NOT_FOUND", "The task does not exist.".to_owned())
}

fn queue_not_found() -> (u16, &'static str, String) {
    let message = "Queue does not exist. If you just created the queue, wait at least a minute.";
    (404, "NOT_FOUND", message.to_owned())
}

fn invalid(message: &str) -> (u16, &'static str, String) {
    (400, "INVALID_ARGUMENT", message.to_owned())
}

fn queue_json(name: &str, queue: &Queue) -> Value {
    json!({
        "name": name,
        "state": if queue.is_paused { "PAUSED" } else { "RUNNING" },
        "rateLimits": {
            "maxDispatchesPerSecond": 500.0,
            "maxBurstSize": 100,
            "maxConcurrentDispatches": queue.max_concurrent,
        },
        "retryConfig": {
            "maxAttempts": queue.max_attempts,
            "minBackoff": "0.050s",
            "maxBackoff": "0.400s",
            "maxDoublings": 16,
        },
    })
}

fn create_queue(state: &mut Shared, parent: &str, body: &Value) -> Answer {
    let name = body["name"].as_str().unwrap_or_default().to_owned();
    if !name.starts_with(parent) {
        return Err(invalid("The queue's name does not belong to the parent."));
    }
    if state.queues.contains_key(&name) {
        return Err((409, "ALREADY_EXISTS", "Queue already exists".to_owned()));
    }
    let number = |value: &Value, default: u64| value.as_u64().unwrap_or(default);
    let limits = &body["rateLimits"];
    let queue = Queue {
        is_paused: false,
        max_concurrent: usize::try_from(number(&limits["maxConcurrentDispatches"], 1_000)).unwrap(),
        max_attempts: u32::try_from(number(&body["retryConfig"]["maxAttempts"], 100)).unwrap(),
    };
    let json = queue_json(&name, &queue);
    state.queues.insert(name, queue);
    Ok(json)
}

fn with_queue(state: &Shared, name: &str) -> Answer {
    match state.queues.get(name) {
        Some(queue) => Ok(queue_json(name, queue)),
        None => Err(queue_not_found()),
    }
}

fn delete_queue(state: &mut Shared, name: &str) -> Answer {
    let prefix = format!("{name}/");
    state.tasks.retain(|task, _| !task.starts_with(&prefix));
    match state.queues.remove(name) {
        Some(_) => Ok(json!({})),
        None => Err(queue_not_found()),
    }
}

fn change_queue(state: &mut Shared, name: &str, verb: &str) -> Answer {
    let prefix = format!("{name}/");
    let queue = state.queues.get_mut(name).ok_or_else(queue_not_found)?;
    match verb {
        "pause" => queue.is_paused = true,
        "resume" => queue.is_paused = false,
        "purge" => state.tasks.retain(|task, _| !task.starts_with(&prefix)),
        _ => return Err((404, "NOT_FOUND", "Method not found.".to_owned())),
    }
    with_queue(state, name)
}

fn list_tasks(state: &Shared, path: &str) -> Answer {
    let queue = path.trim_end_matches("/tasks");
    if !state.queues.contains_key(queue) {
        return Err(queue_not_found());
    }
    let prefix = format!("{path}/");
    let tasks: Vec<Value> = state
        .tasks
        .iter()
        .filter(|(name, _)| name.starts_with(&prefix))
        .map(|(_, task)| view(task, false))
        .collect();
    Ok(json!({ "tasks": tasks }))
}

fn create_task(state: &mut Shared, path: &str, body: &Value, size: usize) -> Answer {
    let queue = path.trim_end_matches("/tasks");
    if !state.queues.contains_key(queue) {
        return Err(queue_not_found());
    }
    if size > MAX_TASK {
        return Err(invalid("Task size too large"));
    }
    let mut json = body["task"].clone();
    let now = Utc::now();
    let name = match json["name"].as_str() {
        Some(name) => name.to_owned(),
        None => format!("{path}/{}", uuid::Uuid::new_v4().simple()),
    };
    let id = name.strip_prefix(&format!("{path}/")).ok_or_else(|| {
        invalid("The queue name from request must be the same as the queue name of the named task.")
    })?;
    let is_id = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if id.is_empty() || id.len() > 500 || !id.chars().all(is_id) {
        return Err(invalid("Task name is not valid."));
    }
    check_request(&json["httpRequest"])?;
    if let Some(deadline) = json["dispatchDeadline"].as_str() {
        let seconds: f64 = deadline
            .strip_suffix('s')
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| invalid("Duration is not valid."))?;
        if !(MIN_DEADLINE_S..=MAX_DEADLINE_S).contains(&seconds) {
            return Err(invalid("Task.dispatchDeadline must be between [15s, 30m]."));
        }
    }
    let next = match json["scheduleTime"].as_str() {
        Some(text) => {
            let time: DateTime<Utc> = text
                .parse()
                .map_err(|_| invalid("Timestamp is not valid."))?;
            if time > now + chrono::TimeDelta::days(MAX_SCHEDULE_DAYS) {
                return Err(invalid("The schedule time is too far in the future."));
            }
            time.max(now)
        }
        None => now,
    };
    if state.tasks.contains_key(&name) || state.tombstones.contains(&name) {
        let message = "The task cannot be created because a task with this name existed too recently. For more information about task de-duplication see the documentation.";
        return Err((409, "ALREADY_EXISTS", message.to_owned()));
    }
    json["name"] = json!(name);
    json["createTime"] = json!(now.to_rfc3339_opts(SecondsFormat::Secs, true));
    if json["dispatchDeadline"].is_null() {
        json["dispatchDeadline"] = json!("600s");
    }
    let task = Task {
        json,
        next,
        dispatches: 0,
        responses: 0,
        dispatched: None,
        is_under_way: false,
    };
    let answer = view(&task, false);
    state.tasks.insert(name, task);
    Ok(answer)
}

fn check_request(request: &Value) -> Result<(), (u16, &'static str, String)> {
    let url = request["url"].as_str().unwrap_or_default();
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Err(invalid(
            "HttpRequest.url must start with http:// or https://.",
        ));
    }
    // Enums come as names or, from Google's clients, as numbers.
    if !["POST", "HTTP_METHOD_UNSPECIFIED"]
        .contains(&request["httpMethod"].as_str().unwrap_or("POST"))
    {
        return Err(invalid("This stand-in dispatches POST only."));
    }
    if request["httpMethod"].as_u64().is_some_and(|n| n > 1) {
        return Err(invalid("This stand-in dispatches POST only."));
    }
    let body = request["body"].as_str().unwrap_or_default();
    base64::Engine::decode(&base64::engine::general_purpose::STANDARD, body)
        .map_err(|_| invalid("Invalid value at 'task.http_request.body' (TYPE_BYTES)."))?;
    Ok(())
}

/// A task as the API shows it: without its body unless the full view is asked for.
fn view(task: &Task, is_full: bool) -> Value {
    let mut json = task.json.clone();
    if !is_full && let Some(request) = json["httpRequest"].as_object_mut() {
        request.remove("body");
    }
    json["httpRequest"]["httpMethod"] = json!("POST");
    json["scheduleTime"] = json!(task.next.to_rfc3339_opts(SecondsFormat::Micros, true));
    json["dispatchCount"] = json!(task.dispatches);
    json["responseCount"] = json!(task.responses);
    if let Some(at) = task.dispatched {
        let time = at.to_rfc3339_opts(SecondsFormat::Micros, true);
        json["lastAttempt"] = json!({"scheduleTime": time, "dispatchTime": time});
    }
    json["view"] = json!(if is_full { "FULL" } else { "BASIC" });
    json
}
