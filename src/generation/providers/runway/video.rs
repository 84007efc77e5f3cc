//! Runway's videos, from a prompt or from a picture.
//!
//! Wire facts: the provider's SDK types (`@runwayml/sdk` 4.20, `text_to_video` and `image_to_video`) and
//! section 12.2 of the providers contract.

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use super::{inputs::Inputs, tasks};
use crate::{
    generation::{
        RequestError,
        error::ProviderError,
        kit::{Access, Api, KeyIn, Options},
        provider::{Checked, GivenPicture, Pace, Provider, Status, Submission, Task, Work},
        providers::video,
        request::{Input, Kind},
    },
    net::Policy,
    storage::ImageKind,
};

/// Longest prompt, UTF-16 units.
const PROMPT_MAX: usize = 1000;
/// Lengths, seconds.
const SECONDS: [u32; 9] = [2, 3, 4, 5, 6, 7, 8, 9, 10];
const DEFAULT_SECONDS: u32 = 5;
const RATIOS: [&str; 6] = [
    "1280:720", "720:1280", "1104:832", "832:1104", "960:960", "1584:672",
];
/// Those of videos from a prompt alone.
const TEXT_RATIOS: [&str; 2] = ["1280:720", "720:1280"];
/// Models that change a given video or performance, which nobody can give here.
const NEED_VIDEO: [&str; 3] = ["aleph2", "gen4_aleph", "act_two"];

/// Runway's video models.
pub struct RunwayVideo {
    api: Api,
    inputs: Inputs,
}

impl RunwayVideo {
    /// Runway with this account.
    #[must_use]
    pub fn new(access: Access) -> Self {
        Self {
            api: access.api(KeyIn::Bearer, tasks::judge),
            inputs: Inputs::default(),
        }
    }

    /// The model upstream: one that needs no picture when none is given.
    fn model<'a>(&'a self, input: &'a Input, frames: usize) -> &'a str {
        let model = self.api.upstream(Kind::Video, &input.model);
        match self.api.account().text("text_video_model") {
            Some(text_model) if frames == 0 && model == "gen4_turbo" => text_model,
            _ => model,
        }
    }

    fn body(
        &self,
        input: &Input,
        frames: usize,
    ) -> Result<(Map<String, Value>, Vec<String>), RequestError> {
        let model = self.model(input, frames);
        if NEED_VIDEO.contains(&model) {
            return Err(RequestError::InvalidOption(format!(
                "{} changes a given video, which cannot be given here; please use gen4_turbo.",
                input.model
            )));
        }
        if input.prompt.encode_utf16().count() > PROMPT_MAX {
            return Err(RequestError::InvalidOption(format!(
                "The prompt must have at most {PROMPT_MAX} characters for this model."
            )));
        }
        let mut options = Options::of(input)?;
        let ratios: &[&str] = if frames == 0 { &TEXT_RATIOS } else { &RATIOS };
        let ratio = options.ratio(ratios).unwrap_or("1280:720");
        let seconds = video::seconds(&mut options, &SECONDS)?.unwrap_or(DEFAULT_SECONDS);
        let mut body = Map::new();
        body.insert("model".into(), model.into());
        body.insert("promptText".into(), input.prompt.as_str().into());
        body.insert("ratio".into(), ratio.into());
        body.insert("duration".into(), seconds.into());
        if let Some(seed) = options.seed(u64::from(u32::MAX)) {
            body.insert("seed".into(), seed.into());
        }
        if let Some(moderation) = options.value("contentModeration") {
            let threshold = moderation
                .get("publicFigureThreshold")
                .and_then(Value::as_str);
            match threshold.or(moderation.as_str()) {
                Some(threshold @ ("auto" | "low")) => {
                    let value = json!({"publicFigureThreshold": threshold});
                    body.insert("contentModeration".into(), value);
                }
                _ => options.warn("contentModeration is ignored; it may be auto or low."),
            }
        }
        options.references(frames, 1);
        Ok((body, options.finish()))
    }
}

#[async_trait]
impl Provider for RunwayVideo {
    fn capabilities(&self) -> &'static [Kind] {
        &[Kind::Video]
    }

    fn check(&self, input: &Input, references: usize) -> Result<Checked, RequestError> {
        let (_, warnings) = self.body(input, references)?;
        Ok(video::one(warnings))
    }

    fn check_given(&self, _input: &Input, given: &GivenPicture) -> Result<(), RequestError> {
        video::still(given, &[ImageKind::Png, ImageKind::Jpeg, ImageKind::Webp])
    }

    fn upstream_model(&self, input: &Input) -> String {
        self.model(input, input.references.len()).to_owned()
    }

    async fn submit(&self, work: &Work<'_>) -> Result<Submission, ProviderError> {
        let (mut body, _) = self.body(work.input, work.references.len())?;
        let first = work.references.get(..1).unwrap_or_default();
        let uris = self.inputs.uris(&self.api, first).await?;
        let endpoint = match uris.into_iter().next() {
            None => "text_to_video",
            Some(uri) => {
                body.insert("promptImage".into(), uri.into());
                "image_to_video"
            }
        };
        tasks::submit(&self.api, endpoint, Value::Object(body)).await
    }

    async fn poll(&self, task: &Task) -> Result<Status, ProviderError> {
        tasks::poll(&self.api, task).await
    }

    async fn cancel(&self, task: &Task) -> Result<(), ProviderError> {
        tasks::cancel(&self.api, task).await
    }

    fn pace(&self, kind: Kind) -> Pace {
        self.api.pace(kind)
    }

    fn result_policy(&self, max_bytes: u64) -> Policy {
        video::policy(&self.api, max_bytes)
    }
}
