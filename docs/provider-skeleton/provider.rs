//! Acme: one call, pictures by address.
//!
//! Wire facts: where they are from (its API reference, the types of its SDK).

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    generation::{
        RequestError,
        error::ProviderError,
        kit::{Access, Api, KeyIn, Options, Reply, Verdict},
        provider::{Checked, Output, Pace, Provider, Submission, Work},
        request::{Input, Kind},
    },
    net::Policy,
};

const RATIOS: [&str; 5] = ["1:1", "4:3", "3:4", "16:9", "9:16"];
const MAX_PICTURES: u32 = 4;
const MAX_SEED: u64 = 2_147_483_647;

/// Acme's models.
pub struct Acme {
    api: Api,
}

#[derive(Deserialize)]
struct Pictures {
    #[serde(default)]
    images: Vec<Picture>,
}

#[derive(Deserialize)]
struct Picture {
    url: String,
}

/// What its status does not tell: our own fault and refused content in its own words.
fn judge(reply: &Reply<'_>) -> Option<Verdict> {
    match reply.at("/error/code").as_str() {
        "content_policy" => Some(Verdict::MODERATED),
        "no_credits" => Some(Verdict::OUT_OF_CREDITS),
        _ => None,
    }
}

impl Acme {
    /// Acme's models with this account.
    #[must_use]
    pub const fn new(access: Access) -> Self {
        Self {
            api: access.api(KeyIn::Bearer, judge),
        }
    }

    /// The body, how many pictures it makes, and what of the request is left out or changed.
    fn body(&self, input: &Input, references: usize) -> Result<(Value, Checked), RequestError> {
        let mut options = Options::of(input)?;
        let outputs = options.count(MAX_PICTURES);
        let mut body = json!({
            "model": self.api.upstream(Kind::Image, &input.model),
            "prompt": input.prompt,
            "count": outputs,
        });
        if let Some(ratio) = options.ratio(&RATIOS) {
            body["aspect_ratio"] = ratio.into();
        }
        if let Some(seed) = options.seed(MAX_SEED) {
            body["seed"] = seed.into();
        }
        if let Some(text) = options.text("negative_prompt", 1000)? {
            body["negative_prompt"] = text.into();
        }
        options.references(references, 0);
        let warnings = options.finish();
        Ok((body, Checked { outputs, warnings }))
    }
}

#[async_trait]
impl Provider for Acme {
    fn check(&self, input: &Input, references: usize) -> Result<Checked, RequestError> {
        Ok(self.body(input, references)?.1)
    }

    fn upstream_model(&self, input: &Input) -> String {
        self.api.upstream(Kind::Image, &input.model).to_owned()
    }

    async fn submit(&self, work: &Work<'_>) -> Result<Submission, ProviderError> {
        let (body, checked) = self.body(work.input, work.references.len())?;
        let call = self.api.post(&["v1", "images"]).json(body);
        let pictures: Pictures = call.send().await?.read()?;
        let wanted = usize::try_from(checked.outputs).unwrap_or(usize::MAX);
        let urls = pictures.images.into_iter().take(wanted);
        Ok(Submission::Done(
            urls.map(|picture| Output::Url(picture.url)).collect(),
        ))
    }

    fn pace(&self, kind: Kind) -> Pace {
        self.api.pace(kind)
    }

    fn result_policy(&self, max_bytes: u64) -> Policy {
        self.api.result_policy(max_bytes)
    }
}
