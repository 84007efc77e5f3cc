//! Runway's tasks and errors, alike for pictures, videos and upscales.
//!
//! Source: the provider's SDK types (`@runwayml/sdk` 4.20, `tasks`) and its pages on HTTP errors and
//! task failures.

use serde::Deserialize;
use serde_json::Value;

use crate::generation::{
    error::ProviderError,
    kit::{Api, Reply, Verdict},
    provider::{Output, Status, Submission, Task},
};

/// Every call names the version of the API that it was written for.
pub const VERSION: (&str, &str) = ("x-runway-version", "2024-11-06");

#[derive(Debug, Deserialize)]
struct Accepted {
    id: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    status: String,
    #[serde(default)]
    output: Vec<String>,
    #[serde(default)]
    failure_code: Option<String>,
}

/// Errors are `{error, issues}`. An account without credits is told with 400, a model that it may not
/// use with 403; the daily quota with 429.
pub fn judge(reply: &Reply<'_>) -> Option<Verdict> {
    match reply.status {
        400..=403 if reply.says(&["credits", "billing"]) => Some(Verdict::OUT_OF_CREDITS),
        403 if reply.says(&["not available"]) => Some(Verdict::MISCONFIGURED),
        400 if reply.at("/issues/0/path/0") == "model" => Some(Verdict::MISCONFIGURED),
        _ => None,
    }
}

/// Starts a task at an endpoint.
///
/// # Errors
/// See [`ProviderError`].
pub async fn submit(api: &Api, endpoint: &str, body: Value) -> Result<Submission, ProviderError> {
    let (name, version) = VERSION;
    let call = api.post(&["v1", endpoint]).header(name, version).json(body);
    let accepted: Accepted = call.send().await?.read()?;
    Ok(Submission::Accepted(Task {
        id: accepted.id,
        state: Value::Null,
    }))
}

/// Looks how a task stands.
///
/// # Errors
/// What ended it. The provider's own words are not for users, its codes are enough for operators.
pub async fn poll(api: &Api, task: &Task) -> Result<Status, ProviderError> {
    let (name, version) = VERSION;
    let call = api.get(&["v1", "tasks", &task.id]).header(name, version);
    let answer: Answer = call.send().await?.read()?;
    let code = answer.failure_code.unwrap_or_default();
    let verdict = match answer.status.as_str() {
        "SUCCEEDED" if answer.output.is_empty() => Verdict::BAD_UPSTREAM,
        "SUCCEEDED" => {
            let outputs = answer.output.into_iter().map(Output::Url).collect();
            return Ok(Status::Done(outputs));
        }
        "FAILED" => failure(&code),
        "CANCELLED" => Verdict::TRANSIENT,
        // PENDING, THROTTLED, RUNNING, and whatever comes later.
        _ => return Ok(Status::Pending),
    };
    let detail = format!("the task ended as {} {code}", answer.status);
    Err(verdict.losing_task().error(detail.trim()))
}

/// Ends a task; one that is over is deleted.
///
/// # Errors
/// See [`ProviderError`].
pub async fn cancel(api: &Api, task: &Task) -> Result<(), ProviderError> {
    let (name, version) = VERSION;
    let call = api.delete(&["v1", "tasks", &task.id]).header(name, version);
    call.send().await?;
    Ok(())
}

/// What a failure code means.
fn failure(code: &str) -> Verdict {
    if code.split('.').any(|part| part == "SAFETY") {
        Verdict::MODERATED
    } else if code.starts_with("INTERNAL.BAD_OUTPUT") {
        Verdict::BAD_UPSTREAM
    } else if code.starts_with("INPUT_PREPROCESSING") || code.starts_with("ASSET.INVALID") {
        Verdict::BAD_INPUT
    } else {
        Verdict::TRANSIENT
    }
}
