//! FLUX of Black Forest Labs: submit, poll the given address, fetch the delivered picture.
//!
//! Wire facts: the provider's API reference (`POST /v1/{model}`, `x-key`, `polling_url`,
//! `result.sample`) and section 2 of the providers contract.

mod body;
mod errors;

use std::time::Duration;

use async_trait::async_trait;
use reqwest::{Client, header};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use crate::{
    generation::{
        RequestError,
        error::{FaultClass, ProviderError},
        options::CommonOptions,
        provider::{Checked, Output, Pace, Provider, Status, Submission, Task, Work},
        request::Input,
    },
    net::{Hosts, NetError, Policy, api_client, read_limited},
    settings::{self, Secret},
};

/// Largest answer that is read, bytes; the pictures come from elsewhere.
const MAX_ANSWER_BYTES: u64 = 1024 * 1024;
/// Time a result may take to download.
const DOWNLOAD_LIMIT: Duration = Duration::from_secs(60);

/// The FLUX models.
pub struct Flux {
    client: Client,
    key: Secret,
    base: Url,
    settings: settings::Flux,
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

impl Flux {
    /// The provider, when it has a key.
    ///
    /// # Errors
    /// When the HTTP client cannot be made or the base address is none.
    pub fn from_settings(settings: &settings::Flux) -> Result<Option<Self>, NetError> {
        let Some(key) = settings.api_key.clone() else {
            return Ok(None);
        };
        Ok(Some(Self {
            client: api_client(concat!("daygen/", env!("CARGO_PKG_VERSION")))?,
            key,
            base: Url::parse(&settings.base_url).map_err(|_| NetError::InvalidUrl)?,
            settings: settings.clone(),
        }))
    }

    fn is_loopback(&self) -> bool {
        settings::is_loopback(&self.base)
    }

    /// The upstream id that makes this request: the configured edit model when references are given
    /// to a model that cannot take several.
    fn upstream(&self, input: &Input, references: usize) -> String {
        if references > 0
            && !body::can_edit(&input.model)
            && let Some(edit_model) = &self.settings.edit_model
        {
            return edit_model.clone();
        }
        self.settings
            .models
            .get(&input.model)
            .unwrap_or(&input.model)
            .clone()
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> Result<Value, ProviderError> {
        let response = request
            .header("x-key", self.key.expose())
            .header(header::ACCEPT, "application/json")
            .timeout(Duration::from_millis(self.settings.call_timeout_ms))
            .send()
            .await
            .map_err(NetError::from)?;
        let status = response.status();
        let retry_after = crate::net::retry_after(response.headers());
        let bytes = read_limited(response, MAX_ANSWER_BYTES).await?;
        if !status.is_success() {
            return Err(errors::of_status(status, &bytes).after(retry_after));
        }
        serde_json::from_slice(&bytes)
            .map_err(|_| ProviderError::new(FaultClass::Transient, "the answer is not JSON"))
    }

    /// The polling address may lie in another region than the base, but our key goes nowhere else.
    fn checked_polling_url(&self, task: &Task) -> Result<Url, ProviderError> {
        let lost = |detail: &str| {
            ProviderError::new(FaultClass::BadUpstream, detail.to_owned()).forgetting_task()
        };
        let text = task
            .state
            .get("pollingUrl")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let mut url = Url::parse(text).map_err(|_| lost("the polling address is none"))?;
        let is_ours = if self.is_loopback() {
            settings::is_loopback(&url)
        } else {
            let host = url.host_str().unwrap_or_default();
            let is_allowed = self.settings.poll_hosts.iter().any(|allowed| {
                let allowed = allowed.trim_start_matches('.');
                host == allowed || host.ends_with(&format!(".{allowed}"))
            });
            url.scheme() == "https" && is_allowed
        };
        if !is_ours || !url.username().is_empty() || url.password().is_some() {
            return Err(lost("the polling address is not the provider's"));
        }
        if !url.query_pairs().any(|(name, _)| name == "id") {
            url.query_pairs_mut().append_pair("id", &task.id);
        }
        Ok(url)
    }
}

#[async_trait]
impl Provider for Flux {
    fn check(&self, input: &Input, references: usize) -> Result<Checked, RequestError> {
        let common = CommonOptions::parse(&input.options)?;
        let model = self.upstream(input, references);
        let (_, mut warnings) = body::build(input, &common, &model, &[])?;
        if common.count > 1 {
            warnings.push("num_images is not supported by this model; one picture is made.".into());
        }
        let taken = body::max_references(&model);
        if references > taken {
            warnings.push(format!(
                "This model takes {taken} reference images; the others are ignored."
            ));
        }
        Ok(Checked {
            outputs: 1,
            warnings,
        })
    }

    fn upstream_model(&self, input: &Input) -> String {
        self.upstream(input, input.references.len())
    }

    async fn submit(&self, work: &Work<'_>) -> Result<Submission, ProviderError> {
        let bad_input =
            |error: RequestError| ProviderError::new(FaultClass::BadInput, error.to_string());
        let common = CommonOptions::parse(&work.input.options).map_err(bad_input)?;
        let model = self.upstream(work.input, work.references.len());
        let (body, _) =
            body::build(work.input, &common, &model, work.references).map_err(bad_input)?;
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| ProviderError::new(FaultClass::Operator, "the base address has no path"))?
            .pop_if_empty()
            .extend(["v1", &model]);
        let answer = self.answer(self.client.post(url).json(&body)).await?;
        let accepted: Accepted = serde_json::from_value(answer)
            .map_err(|_| ProviderError::new(FaultClass::BadUpstream, "the answer names no task"))?;
        Ok(Submission::Accepted(Task {
            id: accepted.id,
            state: json!({ "pollingUrl": accepted.polling_url }),
        }))
    }

    async fn poll(&self, task: &Task) -> Result<Status, ProviderError> {
        let url = self.checked_polling_url(task)?;
        let answer = self.answer(self.client.get(url)).await?;
        let polled: Polled = serde_json::from_value(answer)
            .map_err(|_| ProviderError::new(FaultClass::Transient, "the answer has no status"))?;
        let failed = |class, detail: &str| {
            Err(ProviderError::new(class, detail.to_owned()).forgetting_task())
        };
        match polled.status.as_str() {
            "Ready" => {
                let sample = polled
                    .result
                    .as_ref()
                    .and_then(|result| result.get("sample"))
                    .and_then(Value::as_str);
                match sample {
                    Some(url) => Ok(Status::Done(vec![Output::Url(url.to_owned())])),
                    None => failed(FaultClass::BadUpstream, "ready, but without a sample"),
                }
            }
            "Request Moderated" => failed(FaultClass::Moderated, "the request was moderated"),
            "Content Moderated" => failed(FaultClass::Moderated, "the picture was moderated"),
            "Task not found" => failed(FaultClass::Transient, "the task is not known upstream"),
            "Error" | "Failed" => failed(FaultClass::Transient, "the task failed upstream"),
            // Pending, Queued, Processing, and whatever comes later.
            _ => Ok(Status::Pending),
        }
    }

    fn pace(&self) -> Pace {
        Pace {
            poll_interval: Duration::from_millis(self.settings.poll_interval_ms),
            budget: Duration::from_millis(self.settings.budget_ms),
        }
    }

    fn result_policy(&self, max_bytes: u64) -> Policy {
        let hosts = Hosts::Suffixes(self.settings.result_hosts.clone());
        let mut policy = Policy::new(hosts, max_bytes, DOWNLOAD_LIMIT);
        policy.allow_loopback = self.is_loopback();
        policy
    }
}
