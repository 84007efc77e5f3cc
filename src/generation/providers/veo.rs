//! Veo of Google: a long-running operation that is polled; its video is fetched with the key.
//!
//! Wire facts: the provider's SDK (`@google/genai` 2.32, `generateVideos` of the Developer API) and
//! section 12.1 of the providers contract. The SDK refuses `seed`, `fps` and `generateAudio` for this API.

use async_trait::async_trait;
use serde_json::{Map, Value, json};
use url::Url;

use super::video;
use crate::{
    generation::{
        RequestError,
        error::{FaultClass, ProviderError},
        kit::{Access, Api, KeyIn, Options, Reply, Verdict, Wanted, encode},
        provider::{
            Checked, GivenPicture, Output, Pace, Provider, Reference, Status, Submission, Task,
            Work,
        },
        request::{Input, Kind},
    },
    net::{Credential, Policy},
    storage::ImageKind,
};

/// Where the key goes.
const KEY_HEADER: &str = "x-goog-api-key";
const PROMPT_MAX: usize = 4096;
/// A first and a last frame.
const FRAMES: usize = 2;
/// What refusals for the sake of content say.
const MODERATION: [&str; 5] = [
    "usage guidelines",
    "responsible ai",
    "sensitive words",
    "safety",
    "content policies",
];

/// The Veo models.
pub struct Veo {
    api: Api,
}

/// Errors are `{error: {code, message, status, details}}`; a bad key is told with 400.
fn judge(reply: &Reply<'_>) -> Option<Verdict> {
    let details = reply
        .body
        .pointer("/error/details")
        .and_then(Value::as_array);
    for detail in details.into_iter().flatten() {
        match detail.get("reason").and_then(Value::as_str) {
            Some("API_KEY_INVALID" | "API_KEY_SERVICE_BLOCKED" | "SERVICE_DISABLED") => {
                return Some(Verdict::KEY_REJECTED);
            }
            Some("BILLING_DISABLED") => return Some(Verdict::OUT_OF_CREDITS),
            _ => {}
        }
    }
    match reply.status {
        400 if reply.says(&["api key not valid", "api key expired"]) => Some(Verdict::KEY_REJECTED),
        // Billing is off, or the model is not offered where the account is.
        400 if reply.at("/error/status") == "FAILED_PRECONDITION" => Some(Verdict::MISCONFIGURED),
        400 if reply.says(&MODERATION) => Some(Verdict::MODERATED),
        _ => None,
    }
}

/// What the error of an operation means (`google.rpc.Code`).
fn failure(error: &Value) -> Verdict {
    let message = error
        .get("message")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let message = message.to_lowercase();
    match error.get("code").and_then(Value::as_i64) {
        Some(3 | 9) if MODERATION.iter().any(|word| message.contains(word)) => Verdict::MODERATED,
        Some(3) => Verdict::BAD_INPUT,
        Some(7 | 16) => Verdict::KEY_REJECTED,
        _ => Verdict::TRANSIENT,
    }
}

fn image(picture: &Reference, base64: &str) -> Value {
    json!({"bytesBase64Encoded": base64, "mimeType": picture.mime_type})
}

impl Veo {
    /// Veo with this account.
    #[must_use]
    pub const fn new(access: Access) -> Self {
        Self {
            api: access.api(KeyIn::Header(KEY_HEADER), judge),
        }
    }

    /// The body of a request without its pictures, and its warnings.
    fn body(input: &Input, frames: usize) -> Wanted<Value> {
        let mut options = Options::of(input)?;
        let mut parameters = Map::new();
        let ratio = options.ratio(&["16:9", "9:16"]).unwrap_or("16:9");
        parameters.insert("aspectRatio".into(), ratio.into());
        let mut seconds = video::seconds(&mut options, &[4, 6, 8])?;
        let resolution = options.choice("resolution", &["720p", "1080p", "4k"])?;
        if let Some(resolution) = resolution {
            parameters.insert("resolution".into(), resolution.into());
            if resolution != "720p" && seconds.is_some_and(|seconds| seconds != 8) {
                options.warn(format!("At {resolution} the duration is 8 seconds."));
                seconds = Some(8);
            }
        }
        if let Some(seconds) = seconds {
            parameters.insert("durationSeconds".into(), seconds.into());
        }
        for name in ["negative_prompt", "negativePrompt"] {
            if let Some(text) = options.text(name, PROMPT_MAX)? {
                parameters.insert("negativePrompt".into(), text.into());
            }
        }
        // Frames tell their type by their bytes.
        options.value("image_mime_type");
        options.references(frames, FRAMES);
        let mut instance = Map::new();
        instance.insert("prompt".into(), video::prompt(input, PROMPT_MAX)?.into());
        Ok((instance, Value::Object(parameters), options.finish()))
    }
}

#[async_trait]
impl Provider for Veo {
    fn capabilities(&self) -> &'static [Kind] {
        &[Kind::Video]
    }

    fn check(&self, input: &Input, references: usize) -> Result<Checked, RequestError> {
        let (_, _, warnings) = Self::body(input, references)?;
        Ok(video::one(warnings))
    }

    fn check_given(&self, _input: &Input, given: &GivenPicture) -> Result<(), RequestError> {
        video::still(given, &[ImageKind::Png, ImageKind::Jpeg, ImageKind::Webp])
    }

    fn upstream_model(&self, input: &Input) -> String {
        self.api.upstream(Kind::Video, &input.model).to_owned()
    }

    async fn submit(&self, work: &Work<'_>) -> Result<Submission, ProviderError> {
        let (mut instance, parameters, _) = Self::body(work.input, work.references.len())?;
        let pictures = encode(work.references).await?;
        let frames = work.references.iter().zip(&pictures);
        for (name, (picture, base64)) in ["image", "lastFrame"].into_iter().zip(frames) {
            instance.insert(name.to_owned(), image(picture, base64));
        }
        let model = self.api.upstream(Kind::Video, &work.input.model);
        let call = self
            .api
            .post(&["models", &format!("{model}:predictLongRunning")])
            .json(json!({"instances": [instance], "parameters": parameters}));
        let answer = call.send().await?.json()?;
        let name = video::id(answer.get("name")).ok_or_else(|| {
            ProviderError::new(FaultClass::BadUpstream, "the answer names no operation")
        })?;
        Ok(Submission::Accepted(Task {
            id: name,
            state: Value::Null,
        }))
    }

    async fn poll(&self, task: &Task) -> Result<Status, ProviderError> {
        let path: Vec<&str> = task.id.split('/').collect();
        let answer = self.api.get(&path).send().await?.json()?;
        if answer.get("done").and_then(Value::as_bool) != Some(true) {
            return Ok(Status::Pending);
        }
        if let Some(error) = answer.get("error") {
            let code = video::id(error.get("code")).unwrap_or_default();
            let detail = format!("the operation ended with code {code}");
            return Err(failure(error).losing_task().error(detail));
        }
        let response = answer.pointer("/response/generateVideoResponse");
        let response = response.unwrap_or(&Value::Null);
        let samples = response.get("generatedSamples").and_then(Value::as_array);
        let outputs: Vec<_> = samples
            .into_iter()
            .flatten()
            .filter_map(|sample| sample.pointer("/video/uri")?.as_str())
            .map(|uri| Output::Url(uri.to_owned()))
            .take(1)
            .collect();
        if !outputs.is_empty() {
            return Ok(Status::Done(outputs));
        }
        let is_filtered = ["raiMediaFilteredCount", "raiMediaFilteredReasons"]
            .iter()
            .any(|name| response.get(*name).is_some());
        let (verdict, detail) = if is_filtered {
            (Verdict::MODERATED, "the video was filtered")
        } else {
            (Verdict::BAD_UPSTREAM, "done, but without a video")
        };
        Err(verdict.losing_task().error(detail))
    }

    fn pace(&self, kind: Kind) -> Pace {
        self.api.pace(kind)
    }

    fn result_policy(&self, max_bytes: u64) -> Policy {
        let mut policy = video::policy(&self.api, max_bytes);
        let account = self.api.account();
        if let (Ok(base), Some(key)) = (Url::parse(&account.base_url), &account.api_key) {
            policy.credential = Some(Credential::new(&base, KEY_HEADER, key.clone()));
        }
        policy
    }
}
