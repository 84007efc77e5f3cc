//! Seedream pictures of BytePlus Ark: one synchronous call that answers with addresses (providers
//! contract 9).

mod body;
mod size;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::Value;

use super::ark;
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

/// The Seedream models.
pub struct Seedream {
    api: Api,
}

#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(default)]
    data: Vec<Picture>,
}

/// A picture, or why it was not made.
#[derive(Debug, Deserialize)]
struct Picture {
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    error: Option<Refusal>,
}

#[derive(Debug, Deserialize)]
struct Refusal {
    #[serde(default)]
    code: String,
}

impl Seedream {
    #[must_use]
    pub const fn new(access: Access) -> Self {
        Self {
            api: access.api(KeyIn::Bearer, ark::judge),
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

    async fn make(&self, body: Value) -> Result<Vec<Output>, ProviderError> {
        let call = self.api.post(&["images", "generations"]).json(body);
        pictures(call.send().await?.read()?)
    }
}

/// The pictures that were made; of a set some may have been refused.
fn pictures(answer: Answer) -> Result<Vec<Output>, ProviderError> {
    let mut outputs = Vec::new();
    let mut refusal = None;
    for picture in answer.data {
        match picture {
            Picture { url: Some(url), .. } if !url.is_empty() => outputs.push(Output::Url(url)),
            Picture {
                error: Some(error), ..
            } => refusal = refusal.or(Some(error.code)),
            Picture { .. } => {}
        }
    }
    if !outputs.is_empty() {
        return Ok(outputs);
    }
    Err(match refusal {
        Some(code) => ark::verdict(&code)
            .unwrap_or(Verdict::BAD_UPSTREAM)
            .error(format!("no picture was made: {code}")),
        None => Verdict::BAD_UPSTREAM.error("the answer has no picture"),
    })
}

#[async_trait]
impl Provider for Seedream {
    fn check(&self, input: &Input, references: usize) -> Result<Checked, RequestError> {
        let plan = body::plan(input, self.model(input, references), references)?;
        Ok(Checked {
            outputs: plan.outputs,
            warnings: plan.warnings,
        })
    }

    fn check_given(&self, _input: &Input, given: &GivenPicture) -> Result<(), RequestError> {
        check_picture(given, MAX_PICTURE, true)?;
        size::check_sides(given.sides)
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
