//! FLUX of Black Forest Labs: submit, poll the given address, fetch the delivered picture.
//!
//! Wire facts: the provider's API reference (`POST /v1/{model}`, `x-key`, `polling_url`,
//! `result.sample`) and section 2 of the providers contract.

mod body;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    generation::{
        RequestError,
        error::ProviderError,
        kit::{Access, Api, KeyIn, Reply, Verdict, encode},
        provider::{Checked, Output, Pace, Provider, Status, Submission, Task, Work},
        request::{Input, Kind},
    },
    net::Policy,
};

/// The FLUX models.
pub struct Flux {
    api: Api,
}

#[derive(Debug, Deserialize)]
struct Accepted {
    id: String,
    polling_url: String,
}

#[derive(Debug, Deserialize)]
struct Polled {
    status: String,
    #[serde(default)]
    result: Option<Value>,
}

/// Its errors are told by their status; without credits it answers 402, for a bad key 403.
fn judge(_reply: &Reply<'_>) -> Option<Verdict> {
    None
}

impl Flux {
    /// FLUX with this account.
    #[must_use]
    pub const fn new(access: Access) -> Self {
        Self {
            api: access.api(KeyIn::Header("x-key"), judge),
        }
    }

    /// The upstream id that makes this request: the configured edit model when references are given
    /// to a model that cannot edit.
    fn model<'a>(&'a self, input: &'a Input, references: usize) -> &'a str {
        let model = self.api.upstream(Kind::Image, &input.model);
        match self.api.account().text("edit_model") {
            Some(edit_model) if references > 0 && !body::can_edit(model) => edit_model,
            _ => model,
        }
    }
}

#[async_trait]
impl Provider for Flux {
    fn check(&self, input: &Input, references: usize) -> Result<Checked, RequestError> {
        let model = self.model(input, references);
        let (_, warnings) = body::build(input, model, references, &[])?;
        Ok(Checked {
            outputs: 1,
            warnings,
        })
    }

    fn upstream_model(&self, input: &Input) -> String {
        self.model(input, input.references.len()).to_owned()
    }

    async fn submit(&self, work: &Work<'_>) -> Result<Submission, ProviderError> {
        let model = self.model(work.input, work.references.len());
        let pictures = encode(work.references).await?;
        let (body, _) = body::build(work.input, model, pictures.len(), &pictures)?;
        let call = self.api.post(&["v1", model]).json(body);
        let accepted: Accepted = call.send().await?.read()?;
        Ok(Submission::Accepted(Task {
            id: accepted.id,
            state: json!({ "pollingUrl": accepted.polling_url }),
        }))
    }

    async fn poll(&self, task: &Task) -> Result<Status, ProviderError> {
        let given = task.state.get("pollingUrl").and_then(Value::as_str);
        let mut url = self.api.checked(given.unwrap_or_default())?;
        if !url.query_pairs().any(|(name, _)| name == "id") {
            url.query_pairs_mut().append_pair("id", &task.id);
        }
        let polled: Polled = self.api.get_at(url.as_str())?.send().await?.read()?;
        let verdict = match polled.status.as_str() {
            "Ready" => {
                let result = polled.result.unwrap_or_default();
                match result.get("sample").and_then(Value::as_str) {
                    Some(url) => return Ok(Status::Done(vec![Output::Url(url.to_owned())])),
                    None => Verdict::BAD_UPSTREAM,
                }
            }
            "Request Moderated" | "Content Moderated" => Verdict::MODERATED,
            "Task not found" | "Error" | "Failed" => Verdict::TRANSIENT,
            // Pending, Queued, Processing, and whatever comes later.
            _ => return Ok(Status::Pending),
        };
        Err(verdict
            .losing_task()
            .error(format!("the task ended as {}", polled.status)))
    }

    fn pace(&self, kind: Kind) -> Pace {
        self.api.pace(kind)
    }

    fn result_policy(&self, max_bytes: u64) -> Policy {
        self.api.result_policy(max_bytes)
    }
}
