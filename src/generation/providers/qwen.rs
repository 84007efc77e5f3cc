//! Qwen pictures of Alibaba Cloud's DashScope: one synchronous call that answers with addresses
//! (providers contract 8).

mod body;

use async_trait::async_trait;
use serde::Deserialize;

use super::dashscope;
use crate::{
    generation::{
        RequestError,
        error::ProviderError,
        kit::{Access, Api, KeyIn, Verdict, check_picture, data_url, encode, repeated},
        provider::{Checked, GivenPicture, Output, Pace, Provider, Submission, Work},
        request::{Input, Kind},
    },
    net::Policy,
};

/// Calls that are made at the same time for a request that needs several.
const WIDTH: usize = 4;
/// Largest picture that a call takes, megabytes.
const MAX_PICTURE: u64 = 10;

/// The Qwen picture models.
pub struct Qwen {
    api: Api,
}

#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(default)]
    output: Made,
}

#[derive(Debug, Default, Deserialize)]
struct Made {
    #[serde(default)]
    choices: Vec<Choice>,
}

#[derive(Debug, Deserialize)]
struct Choice {
    message: Message,
}

#[derive(Debug, Deserialize)]
struct Message {
    #[serde(default)]
    content: Vec<Content>,
}

/// A picture or a text.
#[derive(Debug, Deserialize)]
struct Content {
    #[serde(default)]
    image: Option<String>,
}

impl Qwen {
    #[must_use]
    pub const fn new(access: Access) -> Self {
        Self {
            api: access.api(KeyIn::Bearer, dashscope::judge),
        }
    }

    /// The upstream id that makes this request: the configured edit model when pictures are given to a
    /// model that takes none.
    fn model<'a>(&'a self, input: &'a Input, references: usize) -> &'a str {
        let model = self.api.upstream(Kind::Image, &input.model);
        match self.api.account().text("image_edit_model") {
            Some(edit_model) if references > 0 && !body::can_edit(model) => edit_model,
            _ => model,
        }
    }

    async fn make(&self, body: serde_json::Value) -> Result<Vec<Output>, ProviderError> {
        let path = ["services", "aigc", "multimodal-generation", "generation"];
        let answer: Answer = self.api.post(&path).json(body).send().await?.read()?;
        let outputs: Vec<_> = answer
            .output
            .choices
            .into_iter()
            .flat_map(|choice| choice.message.content)
            .filter_map(|content| content.image)
            .map(Output::Url)
            .collect();
        if outputs.is_empty() {
            return Err(Verdict::BAD_UPSTREAM.error("the answer has no picture"));
        }
        Ok(outputs)
    }
}

#[async_trait]
impl Provider for Qwen {
    fn check(&self, input: &Input, references: usize) -> Result<Checked, RequestError> {
        let plan = body::plan(input, self.model(input, references), references)?;
        Ok(Checked {
            outputs: plan.outputs,
            warnings: plan.warnings,
        })
    }

    fn check_given(&self, _input: &Input, given: &GivenPicture) -> Result<(), RequestError> {
        check_picture(given, MAX_PICTURE, true)
    }

    fn upstream_model(&self, input: &Input) -> String {
        self.model(input, input.references.len()).to_owned()
    }

    async fn submit(&self, work: &Work<'_>) -> Result<Submission, ProviderError> {
        let given = work.references.len();
        let plan = body::plan(work.input, self.model(work.input, given), given)?;
        let taken = work.references.get(..plan.images).unwrap_or_default();
        let images: Vec<_> = taken
            .iter()
            .zip(encode(taken).await?)
            .map(|(picture, base64)| data_url(picture, &base64))
            .collect();
        let call = |n| self.make(plan.body(&images, n));
        // Bodies with pictures are large, so those go one after the other.
        let width = if images.is_empty() { WIDTH } else { 1 };
        Ok(Submission::Done(repeated(plan.times, width, call).await?))
    }

    fn pace(&self, kind: Kind) -> Pace {
        self.api.pace(kind)
    }

    fn result_policy(&self, max_bytes: u64) -> Policy {
        self.api.result_policy(max_bytes)
    }
}
