//! Seedance over Ark: a task that is polled, and can be cancelled while it waits.
//!
//! Wire facts: the provider's SDK (`volcengine-python-sdk[ark]` 4.0, `content_generation.tasks`) and section
//! 12.7 of the providers contract.

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use super::{ark, video};
use crate::{
    generation::{
        RequestError,
        error::{FaultClass, ProviderError},
        kit::{Access, Api, KeyIn, Options, Reply, Verdict, Wanted, data_url, encode},
        provider::{Checked, GivenPicture, Output, Pace, Provider, Status, Submission, Task, Work},
        request::{Input, Kind},
    },
    net::Policy,
    storage::ImageKind,
};

const PROMPT_MAX: usize = 4096;
/// A first and a last frame.
const FRAMES: usize = 2;
const SECONDS: [u32; 11] = [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
const MAX_SEED: u64 = 4_294_967_295;
/// Pictures a second, the only ones that it makes.
const RATE: i64 = 24;
const RATIOS: [&str; 6] = ["16:9", "4:3", "1:1", "3:4", "9:16", "21:9"];

/// The Seedance models.
pub struct Seedance {
    api: Api,
}

/// The error of a failed task is told by a good answer, and is for the look at it to judge.
fn judge(reply: &Reply<'_>) -> Option<Verdict> {
    if reply.is_success() {
        return None;
    }
    ark::judge(reply)
}

impl Seedance {
    /// Seedance with this account.
    #[must_use]
    pub const fn new(access: Access) -> Self {
        Self {
            api: access.api(KeyIn::Bearer, judge),
        }
    }

    /// The body of a request without its content, how many frames are used, and the warnings.
    fn body(&self, input: &Input, frames: usize) -> Wanted<usize> {
        let mut options = Options::of(input)?;
        let mut body = Map::new();
        let model = self.api.upstream(Kind::Video, &input.model);
        body.insert("model".into(), model.into());
        let used = match options.choice("mode", &["t2v", "i2v-first", "i2v-first-last"])? {
            None => options.references(frames, FRAMES),
            Some("t2v") => options.references(frames, 0),
            Some(mode) => {
                let needed = if mode == "i2v-first" { 1 } else { FRAMES };
                if frames < needed {
                    let words = ["a first frame", "a first and a last frame"];
                    let what = words.get(needed - 1).copied().unwrap_or_default();
                    return Err(RequestError::InvalidOption(format!(
                        "mode {mode} needs {what}"
                    )));
                }
                options.references(frames, needed)
            }
        };
        let is_adaptive = ["ratio", "aspect_ratio"]
            .iter()
            .any(|name| input.options.get(*name).and_then(Value::as_str) == Some("adaptive"));
        let ratio = if is_adaptive {
            options.sizes_itself();
            Some("adaptive").filter(|_| used > 0)
        } else {
            options.ratio(&RATIOS)
        };
        if let Some(ratio) = ratio {
            body.insert("ratio".into(), ratio.into());
        }
        if let Some(resolution) = options.choice("resolution", &["480p", "720p", "1080p"])? {
            body.insert("resolution".into(), resolution.into());
        }
        if let Some(seconds) = video::seconds(&mut options, &SECONDS)? {
            body.insert("duration".into(), seconds.into());
        }
        if let Some(seed) = options.seed(MAX_SEED) {
            body.insert("seed".into(), seed.into());
        }
        for name in ["camerafixed", "camera_fixed"] {
            if let Some(fixed) = options.flag(name)? {
                body.insert("camera_fixed".into(), fixed.into());
            }
        }
        if let Some(rate) = options.integer("fps", 1, 240)?
            && rate != RATE
        {
            options.warn(format!("This model makes {RATE} pictures a second."));
        }
        let watermark = options.flag("watermark")?.unwrap_or(false);
        body.insert("watermark".into(), watermark.into());
        video::prompt(input, PROMPT_MAX)?;
        Ok((body, used, options.finish()))
    }
}

#[async_trait]
impl Provider for Seedance {
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
        self.api.upstream(Kind::Video, &input.model).to_owned()
    }

    async fn submit(&self, work: &Work<'_>) -> Result<Submission, ProviderError> {
        let (mut body, used, _) = self.body(work.input, work.references.len())?;
        let frames = work.references.get(..used).unwrap_or_default();
        let encoded = encode(frames).await?;
        let mut content = vec![json!({"type": "text", "text": work.input.prompt})];
        let roles = ["first_frame", "last_frame"];
        for (role, (frame, text)) in roles.into_iter().zip(frames.iter().zip(&encoded)) {
            let image_url = json!({"url": data_url(frame, text)});
            content.push(json!({"type": "image_url", "image_url": image_url, "role": role}));
        }
        body.insert("content".into(), content.into());
        let path = ["contents", "generations", "tasks"];
        let call = self.api.post(&path).json(Value::Object(body));
        let answer = call.send().await?.json()?;
        let id = video::id(answer.get("id")).ok_or_else(|| {
            ProviderError::new(FaultClass::BadUpstream, "the answer names no task")
        })?;
        Ok(Submission::Accepted(Task {
            id,
            state: Value::Null,
        }))
    }

    async fn poll(&self, task: &Task) -> Result<Status, ProviderError> {
        let path = ["contents", "generations", "tasks", &task.id];
        let answer = self.api.get(&path).send().await?.json()?;
        let text = |pointer: &str| answer.pointer(pointer).and_then(Value::as_str);
        let code = text("/error/code").unwrap_or_default();
        let verdict = match text("/status").unwrap_or_default() {
            "succeeded" => match text("/content/video_url") {
                Some(url) => return Ok(Status::Done(vec![Output::Url(url.to_owned())])),
                None => Verdict::BAD_UPSTREAM,
            },
            "failed" => ark::verdict(code).unwrap_or(Verdict::TRANSIENT),
            "cancelled" | "expired" => Verdict::TRANSIENT,
            // queued, running, and whatever comes later.
            _ => return Ok(Status::Pending),
        };
        Err(verdict
            .losing_task()
            .error(format!("the task ended: {code}")))
    }

    async fn cancel(&self, task: &Task) -> Result<(), ProviderError> {
        let path = ["contents", "generations", "tasks", &task.id];
        self.api.delete(&path).send().await?;
        Ok(())
    }

    fn pace(&self, kind: Kind) -> Pace {
        self.api.pace(kind)
    }

    fn result_policy(&self, max_bytes: u64) -> Policy {
        video::policy(&self.api, max_bytes)
    }
}
