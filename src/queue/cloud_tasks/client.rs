//! The calls of the Cloud Tasks REST API (v2) that are used: create a task, look at one.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, FixedOffset, SecondsFormat, Utc};
use reqwest::{Method, StatusCode};
use sea_orm::prelude::Uuid;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::credentials::{Credentials, CredentialsError};
use crate::{
    net::{NetError, api_client, read_limited, retry_after},
    settings::{self, Secret},
};

/// Where tasks come back to, below the public address.
const TARGET: &str = "/api/jobs/process";
/// Largest answer of the API, bytes.
const MAX_ANSWER: u64 = 256 * 1024;
/// Longest reason that is kept of a refusal.
const MAX_REASON: usize = 300;

/// A task to create.
#[derive(Debug, Clone)]
pub struct NewTask {
    /// Its name within the queue.
    pub name: String,
    pub queue: String,
    pub job_id: Uuid,
    /// Not dispatched before then; `None` for at once.
    pub schedule: Option<DateTime<FixedOffset>>,
}

/// What the API says about a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// It is there.
    Waiting {
        /// When it is tried next.
        next: Option<DateTime<Utc>>,
        /// Since when a try of it is under way.
        under_way: Option<DateTime<Utc>>,
    },
    /// It ran, was deleted, or never was.
    Gone,
}

/// Why a call did not succeed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CallError {
    /// Worth another try: network, time-out, 408, 429, 5xx, no token right now.
    #[error("{reason}")]
    Transient {
        reason: String,
        retry_after: Option<Duration>,
    },
    /// The queue, the account or its rights are wrong: every task of the queue would be refused.
    #[error("{0}")]
    Closed(String),
    /// This task is refused.
    #[error("{0}")]
    Rejected(String),
}

/// Calls Cloud Tasks.
pub struct CloudTasksClient {
    http: reqwest::Client,
    credentials: Credentials,
    base: String,
    parent: String,
    target: String,
    caller: Caller,
    dispatch_deadline: String,
    timeout: Duration,
}

/// How tasks prove themselves when they come back.
enum Caller {
    Key(Secret),
    Account { email: String, audience: String },
}

#[derive(Deserialize)]
struct ApiRefusal {
    error: ApiStatus,
}

#[derive(Deserialize)]
struct ApiStatus {
    #[serde(default)]
    status: String,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TaskAnswer {
    schedule_time: Option<DateTime<Utc>>,
    #[serde(default)]
    dispatch_count: i32,
    #[serde(default)]
    response_count: i32,
    last_attempt: Option<AttemptAnswer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AttemptAnswer {
    dispatch_time: Option<DateTime<Utc>>,
}

impl TaskAnswer {
    fn lookup(self) -> Lookup {
        let dispatched = self.last_attempt.and_then(|attempt| attempt.dispatch_time);
        Lookup::Waiting {
            next: self.schedule_time,
            under_way: dispatched
                .or(self.schedule_time)
                .filter(|_| self.dispatch_count > self.response_count),
        }
    }
}

impl CloudTasksClient {
    /// A client of the API that the settings name; tasks come back to `public_url`.
    ///
    /// # Errors
    /// When the credentials cannot be used or a client cannot be made.
    pub fn new(
        queue: &settings::Queue,
        public_url: &str,
        user_agent: &str,
    ) -> Result<Self, CredentialsError> {
        let settings = &queue.cloud_tasks;
        let http = api_client(user_agent)?;
        let caller = match (&settings.oidc_service_account, &queue.internal_api_key) {
            (Some(email), _) => Caller::Account {
                email: email.clone(),
                audience: settings
                    .oidc_audience
                    .clone()
                    .unwrap_or_else(|| public_url.to_owned()),
            },
            (None, Some(key)) => Caller::Key(key.clone()),
            (None, None) => Caller::Key(Secret::from(String::new())),
        };
        let deadline_ms = settings.dispatch_deadline_ms;
        Ok(Self {
            credentials: Credentials::new(settings, http.clone())?,
            http,
            base: settings.api_base.trim_end_matches('/').to_owned(),
            parent: format!(
                "projects/{}/locations/{}",
                settings.project.as_deref().unwrap_or_default(),
                settings.location.as_deref().unwrap_or_default()
            ),
            target: format!("{public_url}{TARGET}"),
            caller,
            dispatch_deadline: format!("{}.{:03}s", deadline_ms / 1000, deadline_ms % 1000),
            timeout: Duration::from_millis(settings.call_timeout_ms),
        })
    }

    /// Creates a task. One that exists already, or did lately, was created by an earlier call whose
    /// answer was lost.
    ///
    /// # Errors
    /// See [`CallError`]; whether the task was created is then not known.
    pub async fn create(&self, task: &NewTask) -> Result<(), CallError> {
        let queue = format!("{}/queues/{}", self.parent, task.queue);
        let body = json!({ "task": self.task(&queue, task) });
        let path = format!("/v2/{queue}/tasks");
        let (status, bytes) = self.call(Method::POST, &path, Some(&body)).await?;
        match status {
            status if status.is_success() => Ok(()),
            StatusCode::CONFLICT => Ok(()),
            status => Err(refusal(status, &bytes)),
        }
    }

    /// Looks whether a task still exists.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn look(&self, queue: &str, name: &str) -> Result<Lookup, CallError> {
        let path = format!("/v2/{}/queues/{queue}/tasks/{name}", self.parent);
        let (status, bytes) = self.call(Method::GET, &path, None).await?;
        match status {
            StatusCode::NOT_FOUND => Ok(Lookup::Gone),
            status if status.is_success() => serde_json::from_slice::<TaskAnswer>(&bytes)
                .map(TaskAnswer::lookup)
                .map_err(|_| CallError::Transient {
                    reason: "the task that Cloud Tasks shows cannot be read".to_owned(),
                    retry_after: None,
                }),
            status => Err(refusal(status, &bytes)),
        }
    }

    fn task(&self, queue: &str, task: &NewTask) -> Json {
        let payload = json!({ "jobId": task.job_id }).to_string();
        let mut headers = json!({ "Content-Type": "application/json" });
        let mut request = json!({
            "url": self.target,
            "httpMethod": "POST",
            "body": STANDARD.encode(payload),
        });
        match &self.caller {
            Caller::Key(key) => {
                set(
                    &mut headers,
                    "Authorization",
                    format!("Bearer {}", key.expose()).into(),
                );
            }
            // Cloud Tasks puts the token into the Authorization header itself.
            Caller::Account { email, audience } => {
                let token = json!({ "serviceAccountEmail": email, "audience": audience });
                set(&mut request, "oidcToken", token);
            }
        }
        set(&mut request, "headers", headers);
        let mut body = json!({
            "name": format!("{queue}/tasks/{}", task.name),
            "httpRequest": request,
            "dispatchDeadline": self.dispatch_deadline,
        });
        if let Some(schedule) = &task.schedule {
            let text = schedule
                .to_utc()
                .to_rfc3339_opts(SecondsFormat::Micros, true);
            set(&mut body, "scheduleTime", text.into());
        }
        body
    }

    /// One call; with a fresh token when the kept one is refused.
    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Json>,
    ) -> Result<(StatusCode, bytes::Bytes), CallError> {
        let token = self.credentials.token().await.map_err(no_token)?;
        let answer = self
            .send(method.clone(), path, body, token.as_ref())
            .await?;
        let (StatusCode::UNAUTHORIZED, Some(token)) = (answer.0, token) else {
            return Ok(answer);
        };
        self.credentials.forget(&token).await;
        let token = self.credentials.token().await.map_err(no_token)?;
        self.send(method, path, body, token.as_ref()).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Json>,
        token: Option<&Secret>,
    ) -> Result<(StatusCode, bytes::Bytes), CallError> {
        let mut request = self
            .http
            .request(method, format!("{}{path}", self.base))
            .timeout(self.timeout);
        if let Some(token) = token {
            request = request.bearer_auth(token.expose());
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request
            .send()
            .await
            .map_err(|error| no_answer(error.into()))?;
        let status = response.status();
        if is_transient(status) {
            let retry_after = retry_after(response.headers());
            let bytes = read_limited(response, MAX_ANSWER).await.unwrap_or_default();
            return Err(CallError::Transient {
                reason: reason(status, &bytes),
                retry_after,
            });
        }
        let bytes = read_limited(response, MAX_ANSWER)
            .await
            .map_err(no_answer)?;
        Ok((status, bytes))
    }
}

fn set(object: &mut Json, key: &str, value: Json) {
    if let Some(fields) = object.as_object_mut() {
        fields.insert(key.to_owned(), value);
    }
}

fn is_transient(status: StatusCode) -> bool {
    status.is_server_error()
        || status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::REQUEST_TIMEOUT
}

/// Sorts a refusal that waiting alone does not heal.
fn refusal(status: StatusCode, bytes: &[u8]) -> CallError {
    let reason = reason(status, bytes);
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => {
            CallError::Closed(reason)
        }
        _ => CallError::Rejected(reason),
    }
}

fn reason(status: StatusCode, bytes: &[u8]) -> String {
    let code = status.as_u16();
    let Ok(ApiRefusal { error }) = serde_json::from_slice::<ApiRefusal>(bytes) else {
        return format!("Cloud Tasks answered {code}");
    };
    let text = format!(
        "Cloud Tasks answered {code} {}: {}",
        error.status, error.message
    );
    text.chars().take(MAX_REASON).collect()
}

fn no_answer(error: NetError) -> CallError {
    CallError::Transient {
        reason: format!("Cloud Tasks cannot be reached: {error}"),
        retry_after: None,
    }
}

fn no_token(error: CredentialsError) -> CallError {
    match error {
        CredentialsError::File(_) => CallError::Closed(error.to_string()),
        CredentialsError::Refused { status, .. }
            if (400..500).contains(&status) && status != 429 =>
        {
            CallError::Closed(error.to_string())
        }
        CredentialsError::Refused { .. }
        | CredentialsError::Net(_)
        | CredentialsError::Unreadable => CallError::Transient {
            reason: error.to_string(),
            retry_after: None,
        },
    }
}
