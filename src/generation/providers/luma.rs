//! Luma's Photon models: submit, poll the generation, fetch the picture.
//!
//! Wire facts: the provider's SDK types (`lumaai` 1.21), its page on errors, and section 7 of the
//! providers contract. Luma takes given pictures by address only.

mod body;
pub mod video;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    generation::{
        RequestError,
        error::ProviderError,
        kit::{Access, Api, KeyIn, Reply, Verdict},
        provider::{
            Checked, Output, Pace, Provider, ReferenceForm, Status, Submission, Task, Work,
        },
        request::{Input, Kind},
    },
    net::Policy,
};

/// What a failure for the sake of content says.
const MODERATION: [&str; 4] = ["moderation", "moderated", "blacklisted", "content policy"];

/// The Photon models.
pub struct Luma {
    api: Api,
}

/// A generation, of pictures and of videos alike.
#[derive(Debug, Deserialize)]
struct Generation {
    id: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    failure_reason: Option<String>,
    #[serde(default)]
    assets: Option<Assets>,
}

#[derive(Debug, Deserialize)]
struct Assets {
    #[serde(default)]
    image: Option<String>,
}

/// Errors are `{detail}`, a text or a list; an account without credits may be told with 400.
pub fn judge(reply: &Reply<'_>) -> Option<Verdict> {
    match reply.status {
        400..=499
            if reply.says(&[
                "insufficient credits",
                "not enough credits",
                "credit balance",
            ]) =>
        {
            Some(Verdict::OUT_OF_CREDITS)
        }
        400 | 422 if reply.says(&MODERATION) => Some(Verdict::MODERATED),
        _ => None,
    }
}

/// What the reason of a failed generation means. Failed generations are not charged upstream.
#[must_use]
pub fn failure(reason: &str) -> Verdict {
    let reason = reason.to_lowercase();
    if MODERATION.iter().any(|word| reason.contains(word)) {
        Verdict::MODERATED
    } else if reason.contains("insufficient") && reason.contains("credit") {
        Verdict::OUT_OF_CREDITS
    } else {
        // Among them `Failed to read user input frames`: our address did not answer in time.
        Verdict::TRANSIENT
    }
}

impl Luma {
    /// Luma with this account.
    #[must_use]
    pub const fn new(access: Access) -> Self {
        Self {
            api: access.api(KeyIn::Bearer, judge),
        }
    }

    fn model<'a>(&'a self, input: &'a Input) -> &'a str {
        self.api.upstream(Kind::Image, &input.model)
    }
}

#[async_trait]
impl Provider for Luma {
    fn check(&self, input: &Input, references: usize) -> Result<Checked, RequestError> {
        let (_, warnings) = body::build(input, self.model(input), references, &[])?;
        Ok(Checked {
            outputs: 1,
            warnings,
        })
    }

    fn reference_form(&self) -> ReferenceForm {
        ReferenceForm::Address {
            is_local: self.api.is_loopback(),
        }
    }

    fn upstream_model(&self, input: &Input) -> String {
        self.model(input).to_owned()
    }

    async fn submit(&self, work: &Work<'_>) -> Result<Submission, ProviderError> {
        let model = self.model(work.input);
        let count = work.references.len();
        let (body, _) = body::build(work.input, model, count, work.references)?;
        let call = self.api.post(&["generations", "image"]).json(body);
        let generation: Generation = call.send().await?.read()?;
        Ok(Submission::Accepted(Task {
            id: generation.id,
            state: Value::Null,
        }))
    }

    async fn poll(&self, task: &Task) -> Result<Status, ProviderError> {
        let call = self.api.get(&["generations", &task.id]);
        let generation: Generation = call.send().await?.read()?;
        let verdict = match generation.state.as_str() {
            "completed" => match generation.assets.and_then(|assets| assets.image) {
                Some(url) => return Ok(Status::Done(vec![Output::Url(url)])),
                None => Verdict::BAD_UPSTREAM,
            },
            "failed" => failure(generation.failure_reason.as_deref().unwrap_or_default()),
            // queued, dreaming, and whatever comes later.
            _ => return Ok(Status::Pending),
        };
        let reason = generation.failure_reason.unwrap_or_default();
        let detail = format!("the generation ended as {}: {reason}", generation.state);
        Err(verdict.losing_task().error(detail))
    }

    async fn cancel(&self, task: &Task) -> Result<(), ProviderError> {
        self.api.delete(&["generations", &task.id]).send().await?;
        Ok(())
    }

    fn pace(&self, kind: Kind) -> Pace {
        self.api.pace(kind)
    }

    fn result_policy(&self, max_bytes: u64) -> Policy {
        self.api.result_policy(max_bytes)
    }
}
