//! Ideogram: pictures, enlarged pictures, and the remix that puts a person into a scene (providers
//! contract 3). All its calls are forms and answer with the pictures' addresses.

mod form;
mod lists;

use async_trait::async_trait;
use serde::Deserialize;

use crate::{
    generation::{
        RequestError,
        error::{FaultClass, ProviderError},
        kit::{Access, Api, Form, KeyIn, Reply, Verdict, check_picture},
        provider::{Checked, GivenPicture, Output, Pace, Provider, Reference, Submission, Work},
        request::{Input, Kind},
    },
    net::Policy,
    storage::ImageKind,
};

/// Largest picture that a call takes, megabytes.
const MAX_PICTURE: u64 = 10;

/// The Ideogram models.
pub struct Ideogram {
    api: Api,
}

#[derive(Debug, Deserialize)]
struct Answer {
    data: Vec<Picture>,
}

#[derive(Debug, Deserialize)]
struct Picture {
    #[serde(default)]
    url: Option<String>,
    /// False for one that was made and is kept back.
    #[serde(default)]
    is_image_safe: Option<bool>,
}

impl Ideogram {
    #[must_use]
    pub fn new(access: Access) -> Self {
        Self {
            api: access.api(KeyIn::Header("Api-Key"), judge),
        }
    }

    fn plan(&self, input: &Input, references: &[Reference]) -> Result<form::Plan, RequestError> {
        let sides = references
            .first()
            .and_then(|first| ImageKind::with_sides(&first.bytes))
            .map(|(_, sides)| sides);
        form::plan(input, self.model(input), references.len(), sides)
    }

    fn model<'a>(&'a self, input: &'a Input) -> &'a str {
        self.api.upstream(input.kind, &input.model)
    }
}

/// 422 with an `error` is the safety check; one that lists fields has a `detail`.
fn judge(reply: &Reply<'_>) -> Option<Verdict> {
    match reply.status {
        422 if !reply.at("/error").is_empty() => Some(Verdict::MODERATED),
        400 if reply.says(&["safety check", "safety filter"]) => Some(Verdict::MODERATED),
        400 | 403 if reply.says(&["insufficient credit", "out of credit", "payment"]) => {
            Some(Verdict::OUT_OF_CREDITS)
        }
        _ => None,
    }
}

/// The pictures that were not kept back.
fn pictures(answer: Answer) -> Result<Vec<Output>, ProviderError> {
    let is_kept_back = |picture: &Picture| picture.is_image_safe == Some(false);
    let has_kept_back = answer.data.iter().any(is_kept_back);
    let outputs: Vec<_> = answer
        .data
        .into_iter()
        .filter(|picture| !is_kept_back(picture))
        .filter_map(|picture| picture.url.filter(|url| !url.is_empty()))
        .map(Output::Url)
        .collect();
    if !outputs.is_empty() {
        return Ok(outputs);
    }
    Err(if has_kept_back {
        Verdict::MODERATED.error("every picture failed the safety check")
    } else {
        Verdict::BAD_UPSTREAM.error("the answer has no picture")
    })
}

fn picture(references: &[Reference], n: usize) -> Result<&Reference, ProviderError> {
    references
        .get(n)
        .ok_or_else(|| ProviderError::new(FaultClass::BadInput, "a picture is missing"))
}

#[async_trait]
impl Provider for Ideogram {
    fn capabilities(&self) -> &'static [Kind] {
        &[Kind::Image, Kind::Upscale, Kind::Scene]
    }

    fn check(&self, input: &Input, references: usize) -> Result<Checked, RequestError> {
        let plan = form::plan(input, self.model(input), references, None)?;
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
        let plan = self.plan(work.input, work.references)?;
        let mut form = Form::default();
        for (name, value) in plan.texts {
            form = form.text(name, value);
        }
        for (name, n) in plan.files {
            form = form.picture(name, picture(work.references, n)?);
        }
        let path: Vec<_> = plan.path.iter().map(String::as_str).collect();
        let answer = self.api.post(&path).form(form).send().await?;
        Ok(Submission::Done(pictures(answer.read()?)?))
    }

    fn pace(&self, kind: Kind) -> Pace {
        self.api.pace(kind)
    }

    fn result_policy(&self, max_bytes: u64) -> Policy {
        self.api.result_policy(max_bytes)
    }
}
