//! Grok pictures of xAI: one synchronous call that answers with base64 (providers contract 11).

mod body;

use async_trait::async_trait;
use serde::Deserialize;

use crate::{
    generation::{
        RequestError,
        error::ProviderError,
        kit::{Access, Api, KeyIn, Reply, Verdict, check_picture, data_url, decode, encode},
        provider::{Checked, GivenPicture, Output, Pace, Provider, Submission, Work},
        request::{Input, Kind},
    },
    net::Policy,
};

/// Largest picture that a call takes, megabytes.
const MAX_PICTURE: u64 = 20;

/// The Grok picture models.
pub struct Grok {
    api: Api,
}

#[derive(Debug, Deserialize)]
struct Answer {
    data: Vec<Picture>,
}

#[derive(Debug, Deserialize)]
struct Picture {
    #[serde(default)]
    b64_json: Option<String>,
    #[serde(default)]
    url: Option<String>,
    /// False for one that was made and is kept back.
    #[serde(default)]
    respect_moderation: Option<bool>,
}

/// Codes are sentences here, and the same ones for quite different faults, so the text decides: a wrong
/// key and refused content both come as 400 "Client specified an invalid argument", used-up credits as
/// 403 or 429.
fn judge(reply: &Reply<'_>) -> Option<Verdict> {
    if reply.is_success() {
        return None;
    }
    if reply.says(&[
        "incorrect api key",
        "invalid api key",
        "no credentials",
        "unauthenticated",
    ]) {
        return Some(Verdict::KEY_REJECTED);
    }
    if reply.says(&[
        "available credits",
        "spending limit",
        "purchase more credits",
    ]) {
        return Some(Verdict::OUT_OF_CREDITS);
    }
    if reply.says(&[
        "content moderation",
        "usage guidelines",
        "safety_check",
        "content policy",
    ]) {
        return Some(Verdict::MODERATED);
    }
    if reply.says(&[
        "does not exist or your team",
        "model not found",
        "unknown model",
    ]) {
        return Some(Verdict::MISCONFIGURED);
    }
    None
}

impl Grok {
    #[must_use]
    pub fn new(access: Access) -> Self {
        Self {
            api: access.api(KeyIn::Bearer, judge),
        }
    }

    fn model<'a>(&'a self, input: &'a Input) -> &'a str {
        self.api.upstream(Kind::Image, &input.model)
    }
}

/// The pictures that were not kept back.
async fn pictures(answer: Answer) -> Result<Vec<Output>, ProviderError> {
    let is_kept_back = |picture: &Picture| picture.respect_moderation == Some(false);
    let has_kept_back = answer.data.iter().any(is_kept_back);
    let mut urls = Vec::new();
    let mut texts = Vec::new();
    for picture in answer.data {
        match picture {
            picture if is_kept_back(&picture) => {}
            Picture {
                b64_json: Some(text),
                ..
            } if !text.is_empty() => texts.push(text),
            Picture { url: Some(url), .. } if !url.is_empty() => urls.push(Output::Url(url)),
            Picture { .. } => {}
        }
    }
    let mut outputs = decode(texts).await?;
    outputs.extend(urls);
    if !outputs.is_empty() {
        return Ok(outputs);
    }
    Err(if has_kept_back {
        Verdict::MODERATED.error("every picture failed the moderation")
    } else {
        Verdict::BAD_UPSTREAM.error("the answer has no picture")
    })
}

#[async_trait]
impl Provider for Grok {
    fn check(&self, input: &Input, references: usize) -> Result<Checked, RequestError> {
        let plan = body::plan(input, self.model(input), references)?;
        Ok(Checked {
            outputs: plan.outputs,
            warnings: plan.warnings,
        })
    }

    fn check_given(&self, _input: &Input, given: &GivenPicture) -> Result<(), RequestError> {
        check_picture(given, MAX_PICTURE, false)
    }

    fn upstream_model(&self, input: &Input) -> String {
        self.model(input).to_owned()
    }

    async fn submit(&self, work: &Work<'_>) -> Result<Submission, ProviderError> {
        let plan = body::plan(work.input, self.model(work.input), work.references.len())?;
        let taken = work.references.get(..plan.images).unwrap_or_default();
        let images = taken
            .iter()
            .zip(encode(taken).await?)
            .map(|(picture, base64)| data_url(picture, &base64))
            .collect();
        let call = self
            .api
            .post(&["v1", "images", plan.call()])
            .with_pictures();
        let answer = call.json(plan.body(images)).send().await?;
        Ok(Submission::Done(pictures(answer.read()?).await?))
    }

    fn pace(&self, kind: Kind) -> Pace {
        self.api.pace(kind)
    }

    fn result_policy(&self, max_bytes: u64) -> Policy {
        self.api.result_policy(max_bytes)
    }
}
