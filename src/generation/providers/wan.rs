//! Wan over DashScope: a task that is polled.
//!
//! Wire facts: the provider's SDK (`dashscope` 2.0, `VideoSynthesis`) and section 12.4 of the providers
//! contract. A request with a first frame goes to the model for it, which has tiers instead of sizes.

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use super::{dashscope, video};
use crate::{
    generation::{
        RequestError,
        error::{FaultClass, ProviderError},
        kit::{Access, Api, KeyIn, Options, Verdict, Wanted, data_url, encode},
        provider::{Checked, GivenPicture, Output, Pace, Provider, Status, Submission, Task, Work},
        request::{Input, Kind},
    },
    net::Policy,
    storage::ImageKind,
};

/// What upstream reads of a prompt, characters; it cuts the rest off.
const PROMPT_READ: usize = 800;
const NEGATIVE_MAX: usize = 500;
const MAX_SEED: u64 = 2_147_483_647;
/// Sizes of 480p and 1080p.
const SIZES: [(u32, u32); 8] = [
    (832, 480),
    (480, 832),
    (624, 624),
    (1920, 1080),
    (1080, 1920),
    (1440, 1440),
    (1632, 1248),
    (1248, 1632),
];

/// The Wan models.
pub struct Wan {
    api: Api,
}

impl Wan {
    /// Wan with this account.
    #[must_use]
    pub const fn new(access: Access) -> Self {
        Self {
            api: access.api(KeyIn::Bearer, dashscope::judge),
        }
    }

    /// The model upstream: the one for pictures when one is given.
    fn model<'a>(&'a self, input: &'a Input, frames: usize) -> &'a str {
        match self.api.account().text("image_video_model") {
            Some(model) if frames > 0 => model,
            _ => self.api.upstream(Kind::Video, &input.model),
        }
    }

    /// Input and parameters of a request without its picture, and its warnings.
    fn body(&self, input: &Input, frames: usize) -> Wanted<Map<String, Value>> {
        let mut options = Options::of(input)?;
        let (mut given, mut parameters) = (Map::new(), Map::new());
        given.insert("prompt".into(), input.prompt.as_str().into());
        if input.prompt.chars().count() > PROMPT_READ {
            options.warn(format!(
                "This model reads the first {PROMPT_READ} characters of the prompt."
            ));
        }
        if let Some(text) = options.text("negative_prompt", NEGATIVE_MAX)? {
            given.insert("negative_prompt".into(), text.into());
        }
        if frames == 0 {
            let (width, height) = options.size(&SIZES).unwrap_or((1920, 1080));
            parameters.insert("size".into(), format!("{width}*{height}").into());
        } else {
            let tier = options.choice("resolution", &["480P", "1080P"])?;
            parameters.insert("resolution".into(), tier.unwrap_or("1080P").into());
            if options.common().size.is_some() || options.common().ratio.is_some() {
                options.warn("The video has the shape of its first frame.");
            }
            options.sizes_itself();
        }
        if let Some(extend) = options.flag("prompt_extend")? {
            parameters.insert("prompt_extend".into(), extend.into());
        }
        let watermark = options.flag("watermark")?.unwrap_or(false);
        parameters.insert("watermark".into(), watermark.into());
        if let Some(seed) = options.seed(MAX_SEED) {
            parameters.insert("seed".into(), seed.into());
        }
        video::seconds(&mut options, &[5])?;
        options.references(frames, 1);
        Ok((given, parameters, options.finish()))
    }
}

#[async_trait]
impl Provider for Wan {
    fn capabilities(&self) -> &'static [Kind] {
        &[Kind::Video]
    }

    fn check(&self, input: &Input, references: usize) -> Result<Checked, RequestError> {
        let (_, _, warnings) = self.body(input, references)?;
        Ok(video::one(warnings))
    }

    fn check_given(&self, _input: &Input, given: &GivenPicture) -> Result<(), RequestError> {
        video::still(given, &[ImageKind::Png, ImageKind::Jpeg, ImageKind::Webp])
    }

    fn upstream_model(&self, input: &Input) -> String {
        self.model(input, input.references.len()).to_owned()
    }

    async fn submit(&self, work: &Work<'_>) -> Result<Submission, ProviderError> {
        let (mut input, parameters, _) = self.body(work.input, work.references.len())?;
        let first = work.references.get(..1).unwrap_or_default();
        let encoded = encode(first).await?;
        if let (Some(picture), Some(text)) = (first.first(), encoded.first()) {
            input.insert("img_url".into(), data_url(picture, text).into());
        }
        let model = self.model(work.input, work.references.len());
        let path = ["services", "aigc", "video-generation", "video-synthesis"];
        let call = self
            .api
            .post(&path)
            .header("x-dashscope-async", "enable")
            .json(json!({"model": model, "input": input, "parameters": parameters}));
        let answer = call.send().await?.json()?;
        let id = video::id(answer.pointer("/output/task_id")).ok_or_else(|| {
            ProviderError::new(FaultClass::BadUpstream, "the answer names no task")
        })?;
        Ok(Submission::Accepted(Task {
            id,
            state: Value::Null,
        }))
    }

    async fn poll(&self, task: &Task) -> Result<Status, ProviderError> {
        let answer = self.api.get(&["tasks", &task.id]).send().await?.json()?;
        let text = |pointer: &str| answer.pointer(pointer).and_then(Value::as_str);
        let code = text("/output/code").unwrap_or_default();
        let verdict = match text("/output/task_status").unwrap_or_default() {
            "SUCCEEDED" => match text("/output/video_url") {
                Some(url) => return Ok(Status::Done(vec![Output::Url(url.to_owned())])),
                None => Verdict::BAD_UPSTREAM,
            },
            "FAILED" => dashscope::verdict(code).unwrap_or(Verdict::TRANSIENT),
            "CANCELED" => Verdict::TRANSIENT,
            // PENDING, RUNNING, and whatever comes later.
            _ => return Ok(Status::Pending),
        };
        Err(verdict
            .losing_task()
            .error(format!("the task ended: {code}")))
    }

    /// Only tasks that still wait can be ended.
    async fn cancel(&self, task: &Task) -> Result<(), ProviderError> {
        self.api.post(&["tasks", &task.id, "cancel"]).send().await?;
        Ok(())
    }

    fn pace(&self, kind: Kind) -> Pace {
        self.api.pace(kind)
    }

    fn result_policy(&self, max_bytes: u64) -> Policy {
        video::policy(&self.api, max_bytes)
    }
}
