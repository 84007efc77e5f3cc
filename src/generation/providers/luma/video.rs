//! Luma's Ray models: videos from a prompt and from frames, which it takes by address only.
//!
//! Wire facts: the provider's SDK types (`lumaai` 1.19, `generations/video`) and section 12.3 of the
//! providers contract.

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use super::{failure, judge};
use crate::{
    generation::{
        RequestError,
        error::{FaultClass, ProviderError},
        kit::{Access, Api, KeyIn, Options, Verdict},
        provider::{
            Checked, GivenPicture, Output, Pace, Provider, Reference, ReferenceForm, Status,
            Submission, Task, Work,
        },
        providers::video,
        request::{Input, Kind},
    },
    net::Policy,
    settings::Secret,
    storage::ImageKind,
};

const PROMPT_MAX: usize = 5000;
/// A first and a last frame.
const FRAMES: usize = 2;
/// Most concepts of a request.
const CONCEPTS: usize = 8;
const RATIOS: [&str; 7] = ["1:1", "16:9", "9:16", "4:3", "3:4", "21:9", "9:21"];

/// The Ray models.
pub struct LumaVideo {
    api: Api,
}

impl LumaVideo {
    /// Luma with this account.
    #[must_use]
    pub const fn new(access: Access) -> Self {
        Self {
            api: access.api(KeyIn::Bearer, judge),
        }
    }

    fn body(
        &self,
        input: &Input,
        frames: usize,
    ) -> Result<(Map<String, Value>, Vec<String>), RequestError> {
        let mut options = Options::of(input)?;
        let mut body = Map::new();
        let model = self.api.upstream(Kind::Video, &input.model);
        body.insert("model".into(), model.into());
        body.insert("prompt".into(), video::prompt(input, PROMPT_MAX)?.into());
        if let Some(ratio) = options.ratio(&RATIOS) {
            body.insert("aspect_ratio".into(), ratio.into());
        }
        if let Some(resolution) = options.choice("resolution", &["540p", "720p", "1080p", "4k"])? {
            body.insert("resolution".into(), resolution.into());
        }
        if let Some(seconds) = video::seconds(&mut options, &[5, 9])? {
            body.insert("duration".into(), format!("{seconds}s").into());
        }
        if let Some(looped) = options.flag("loop")? {
            body.insert("loop".into(), looped.into());
        }
        if let Some(value) = options.value("concepts") {
            let concepts = concepts(value)?;
            if !concepts.is_empty() {
                body.insert("concepts".into(), concepts.into());
            }
        }
        options.references(frames, FRAMES);
        Ok((body, options.finish()))
    }
}

/// Concepts by their keys, as words or as `{key}`.
fn concepts(value: &Value) -> Result<Vec<Value>, RequestError> {
    let invalid = || {
        RequestError::InvalidOption(format!(
            "concepts must be a list of at most {CONCEPTS} keys"
        ))
    };
    let items = value.as_array().ok_or_else(invalid)?;
    if items.len() > CONCEPTS {
        return Err(invalid());
    }
    items
        .iter()
        .map(|item| {
            let key = item.as_str().or_else(|| item.get("key")?.as_str());
            key.filter(|key| key.len() <= 64)
                .map(|key| json!({"key": key}))
                .ok_or_else(invalid)
        })
        .collect()
}

fn keyframes(frames: &[Reference]) -> Map<String, Value> {
    ["frame0", "frame1"]
        .into_iter()
        .zip(frames)
        .filter_map(|(name, frame)| {
            let url = frame.url.as_ref().map(Secret::expose)?;
            Some((name.to_owned(), json!({"type": "image", "url": url})))
        })
        .collect()
}

#[async_trait]
impl Provider for LumaVideo {
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

    fn reference_form(&self) -> ReferenceForm {
        ReferenceForm::Address {
            is_local: self.api.is_loopback(),
        }
    }

    fn upstream_model(&self, input: &Input) -> String {
        self.api.upstream(Kind::Video, &input.model).to_owned()
    }

    async fn submit(&self, work: &Work<'_>) -> Result<Submission, ProviderError> {
        let (mut body, _) = self.body(work.input, work.references.len())?;
        let frames = keyframes(work.references);
        if !frames.is_empty() {
            body.insert("keyframes".into(), Value::Object(frames));
        }
        let call = self
            .api
            .post(&["generations", "video"])
            .json(Value::Object(body));
        let answer = call.send().await?.json()?;
        let id = video::id(answer.get("id")).ok_or_else(|| {
            ProviderError::new(FaultClass::BadUpstream, "the answer names no generation")
        })?;
        Ok(Submission::Accepted(Task {
            id,
            state: Value::Null,
        }))
    }

    async fn poll(&self, task: &Task) -> Result<Status, ProviderError> {
        let answer = self
            .api
            .get(&["generations", &task.id])
            .send()
            .await?
            .json()?;
        let text = |pointer: &str| answer.pointer(pointer).and_then(Value::as_str);
        let reason = text("/failure_reason").unwrap_or_default();
        let verdict = match text("/state").unwrap_or_default() {
            "completed" => match text("/assets/video") {
                Some(url) => return Ok(Status::Done(vec![Output::Url(url.to_owned())])),
                None => Verdict::BAD_UPSTREAM,
            },
            "failed" => failure(reason),
            // queued, dreaming, and whatever comes later.
            _ => return Ok(Status::Pending),
        };
        let detail = format!("the generation ended: {reason}");
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
        video::policy(&self.api, max_bytes)
    }
}
