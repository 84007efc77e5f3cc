//! Kling: a task that is polled where it was made, with a key or with the pair of older accounts.
//!
//! Wire facts: section 12.6 of the providers contract. Answers are `{code, message, data}`; the code says
//! more than the HTTP status, which is 429 for an empty account too.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Map, Value, json};

use super::video;
use crate::{
    generation::{
        RequestError,
        error::{FaultClass, ProviderError},
        kit::{Access, Api, KeyIn, Options, Reply, Verdict, encode},
        provider::{Checked, GivenPicture, Output, Pace, Provider, Status, Submission, Task, Work},
        request::{Input, Kind},
    },
    net::Policy,
    settings::{Account, Secret},
    storage::ImageKind,
};

const PROMPT_MAX: usize = 2500;
/// A first and a last frame.
const FRAMES: usize = 2;
/// Smallest side of a frame, pixels, and largest file, bytes.
const MIN_SIDE: u32 = 300;
const MAX_FRAME_BYTES: u64 = 10_000_000;
/// How long a token of an older account is good, and how far our clock may be ahead.
const TOKEN_LIFE: Duration = Duration::from_mins(30);
const CLOCK_LEEWAY: Duration = Duration::from_secs(5);
const CAMERAS: [&str; 5] = [
    "simple",
    "down_back",
    "forward_up",
    "right_turn_forward",
    "left_turn_forward",
];

/// The Kling models.
pub struct Kling {
    api: Api,
}

/// What the code of an answer means.
fn judge(reply: &Reply<'_>) -> Option<Verdict> {
    let code = reply.at("/code").parse::<u32>().ok()?;
    match code {
        0 => None,
        1000..=1004 | 1103 => Some(Verdict::KEY_REJECTED),
        1100..=1102 => Some(Verdict::OUT_OF_CREDITS),
        1203 if reply.says(&["model"]) => Some(Verdict::MISCONFIGURED),
        1200..=1203 if reply.says(&["task"]) && reply.status == 404 => {
            Some(Verdict::TRANSIENT.losing_task())
        }
        1200..=1203 => Some(Verdict::BAD_INPUT),
        1300 | 1301 => Some(Verdict::MODERATED),
        1302 | 1303 => Some(Verdict::RATE_LIMITED),
        // Refused by an address list of the account.
        1304 => Some(Verdict::MISCONFIGURED),
        5000..=5999 => Some(Verdict::TRANSIENT),
        _ if reply.is_success() => Some(Verdict::TRANSIENT),
        _ => None,
    }
}

/// `Authorization`: the key, or a token made of the pair.
fn authorization(account: &Account) -> Result<String, ProviderError> {
    if let Some(key) = &account.api_key {
        return Ok(format!("Bearer {}", key.expose()));
    }
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Ok(format!("Bearer {}", token(account, now)?))
}

fn token(account: &Account, now: Duration) -> Result<String, ProviderError> {
    let secret = |name: &str| account.secrets.get(name).map_or("", Secret::expose);
    let claims = json!({
        "iss": secret("access_key"),
        "exp": now.saturating_add(TOKEN_LIFE).as_secs(),
        "nbf": now.saturating_sub(CLOCK_LEEWAY).as_secs(),
    });
    let key = EncodingKey::from_secret(secret("secret_key").as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)
        .map_err(|_| ProviderError::new(FaultClass::Operator, "no token can be made of the pair"))
}

/// What the words of a failed task mean; there is no code.
fn failure(message: &str) -> Verdict {
    let message = message.to_lowercase();
    let is_moderated = ["risk control", "policy", "sensitive", "violat"]
        .iter()
        .any(|word| message.contains(word));
    if is_moderated {
        Verdict::MODERATED
    } else {
        Verdict::TRANSIENT
    }
}

impl Kling {
    /// Kling with this account.
    #[must_use]
    pub const fn new(access: Access) -> Self {
        Self {
            api: access.api(KeyIn::Made(authorization), judge),
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
        body.insert("model_name".into(), model.into());
        body.insert("prompt".into(), video::prompt(input, PROMPT_MAX)?.into());
        if let Some(text) = options.text("negative_prompt", PROMPT_MAX)? {
            body.insert("negative_prompt".into(), text.into());
        }
        if frames == 0 {
            let ratio = options.ratio(&["16:9", "9:16", "1:1"]).unwrap_or("16:9");
            body.insert("aspect_ratio".into(), ratio.into());
        } else if options.common().ratio.is_some() {
            options.warn("The video has the shape of its first frame.");
            options.sizes_itself();
        }
        let seconds = video::seconds(&mut options, &[5, 10])?.unwrap_or(5);
        body.insert("duration".into(), seconds.to_string().into());
        let mode = options.choice("mode", &["standard", "professional", "std", "pro"])?;
        if let Some(mode) = mode {
            let mode = if mode.starts_with("std") || mode.starts_with("stan") {
                "std"
            } else {
                "pro"
            };
            body.insert("mode".into(), mode.into());
        }
        if let Some(scale) = options.number("cfg_scale", 0.0, 1.0)? {
            if model.starts_with("kling-v1") {
                body.insert("cfg_scale".into(), scale.into());
            } else {
                options.warn("cfg_scale is not supported by this model.");
            }
        }
        if let Some(camera) = options.value("camera_control") {
            let kind = camera.get("type").and_then(Value::as_str);
            if kind.is_some_and(|kind| CAMERAS.contains(&kind)) {
                body.insert("camera_control".into(), camera.clone());
            } else {
                let known = CAMERAS.join(", ");
                return Err(RequestError::InvalidOption(format!(
                    "camera_control.type must be one of {known}"
                )));
            }
        }
        options.references(frames, FRAMES);
        Ok((body, options.finish()))
    }
}

#[async_trait]
impl Provider for Kling {
    fn capabilities(&self) -> &'static [Kind] {
        &[Kind::Video]
    }

    fn check(&self, input: &Input, references: usize) -> Result<Checked, RequestError> {
        let (_, warnings) = self.body(input, references)?;
        Ok(video::one(warnings))
    }

    fn check_given(&self, _input: &Input, given: &GivenPicture) -> Result<(), RequestError> {
        video::still(given, &[ImageKind::Png, ImageKind::Jpeg])?;
        let (width, height) = given.sides;
        if width < MIN_SIDE || height < MIN_SIDE || given.size_bytes > MAX_FRAME_BYTES {
            return Err(RequestError::InvalidReference(format!(
                "Frames of this model must have sides of at least {MIN_SIDE} pixels and at most 10 MB."
            )));
        }
        Ok(())
    }

    fn upstream_model(&self, input: &Input) -> String {
        self.api.upstream(Kind::Video, &input.model).to_owned()
    }

    async fn submit(&self, work: &Work<'_>) -> Result<Submission, ProviderError> {
        let (mut body, _) = self.body(work.input, work.references.len())?;
        let frames = work.references.get(..FRAMES).unwrap_or(work.references);
        let encoded = encode(frames).await?;
        let endpoint = if encoded.is_empty() {
            "text2video"
        } else {
            "image2video"
        };
        for (name, text) in ["image", "image_tail"].into_iter().zip(encoded) {
            body.insert(name.to_owned(), text.into());
        }
        let call = self
            .api
            .post(&["v1", "videos", endpoint])
            .json(Value::Object(body));
        let answer = call.send().await?.json()?;
        let id = video::id(answer.pointer("/data/task_id")).ok_or_else(|| {
            ProviderError::new(FaultClass::BadUpstream, "the answer names no task")
        })?;
        Ok(Submission::Accepted(Task {
            id,
            state: json!({ "endpoint": endpoint }),
        }))
    }

    async fn poll(&self, task: &Task) -> Result<Status, ProviderError> {
        let endpoint = task.state.get("endpoint").and_then(Value::as_str);
        let path = ["v1", "videos", endpoint.unwrap_or("text2video"), &task.id];
        let answer = self.api.get(&path).send().await?.json()?;
        let text = |pointer: &str| answer.pointer(pointer).and_then(Value::as_str);
        let message = text("/data/task_status_msg").unwrap_or_default();
        let verdict = match text("/data/task_status").unwrap_or_default() {
            "succeed" => match text("/data/task_result/videos/0/url") {
                Some(url) => return Ok(Status::Done(vec![Output::Url(url.to_owned())])),
                None => Verdict::BAD_UPSTREAM,
            },
            "failed" => failure(message),
            // submitted, processing, and whatever comes later.
            _ => return Ok(Status::Pending),
        };
        Err(verdict
            .losing_task()
            .error(format!("the task ended: {message}")))
    }

    fn pace(&self, kind: Kind) -> Pace {
        self.api.pace(kind)
    }

    fn result_policy(&self, max_bytes: u64) -> Policy {
        video::policy(&self.api, max_bytes)
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{DecodingKey, Validation, decode};

    use super::*;

    fn account(key: &str) -> Account {
        serde_json::from_value(json!({
            "api_key": key, "secrets": {"access_key": "the-access-key", "secret_key": "the-secret-key"},
            "key_variable": "KLINGAI_API_KEY", "base_url": "https://api.example", "result_hosts": "",
            "call_timeout_ms": 1, "poll_interval_ms": 1, "budget_ms": 1, "models": {},
            "limits": {"max_running": null, "starts_per_minute": null},
        }))
        .unwrap()
    }

    #[test]
    fn a_key_goes_before_the_pair() {
        assert_eq!(
            authorization(&account("the-key")).unwrap(),
            "Bearer the-key"
        );
        let made = authorization(&account("")).unwrap();
        assert!(made.starts_with("Bearer ey"), "{made}");
        assert!(!made.contains("the-secret-key"));
    }

    #[test]
    fn a_token_is_signed_with_the_secret_and_good_for_half_an_hour() {
        let now = Duration::from_secs(2_000_000_000);
        let token = token(&account(""), now).unwrap();
        let mut rules = Validation::new(Algorithm::HS256);
        rules.validate_exp = false;
        let key = DecodingKey::from_secret(b"the-secret-key");
        let claims = decode::<Value>(&token, &key, &rules).unwrap().claims;
        let expected = json!({"iss": "the-access-key", "exp": 2_000_001_800, "nbf": 1_999_999_995});
        assert_eq!(claims, expected);
    }
}
