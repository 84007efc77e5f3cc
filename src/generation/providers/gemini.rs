//! Google's native image models: `generateContent`, pictures in and out as base64.
//!
//! Wire facts: the types of the official SDK (`GenerateContentResponse`, `ImageConfig`, `FinishReason`)
//! and section 1 of the providers contract. A call makes one picture; several are several calls.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{
    generation::{
        RequestError,
        error::ProviderError,
        kit::{Access, Api, KeyIn, Options, Reply, Verdict, decode, encode},
        provider::{Checked, Pace, Provider, Reference, Submission, Work},
        request::{Input, Kind},
    },
    net::Policy,
};

const RATIOS: [&str; 10] = [
    "1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9",
];
/// Most pictures of a request; each is a call.
const MAX_PICTURES: u32 = 4;
const MAX_TOKENS: i64 = 8192;
/// The seed is a signed 32-bit number upstream.
const MAX_SEED: u64 = 2_147_483_647;

/// The Gemini image models.
pub struct Gemini {
    api: Api,
}

/// Google's errors, for its videos too: a bad key is a 400, and pauses stand in the body.
pub fn judge(reply: &Reply<'_>) -> Option<Verdict> {
    if reply.is_success() {
        return None;
    }
    if reply.says(&["api_key_invalid", "api key not valid", "api key expired"]) {
        return Some(Verdict::KEY_REJECTED);
    }
    if reply.says(&["credits are depleted", "billing account"]) {
        return Some(Verdict::OUT_OF_CREDITS);
    }
    match reply.at("/error/status").as_str() {
        // Such as a country or an account that the API is closed to.
        "FAILED_PRECONDITION" => Some(Verdict::MISCONFIGURED),
        "RESOURCE_EXHAUSTED" => Some(Verdict::RATE_LIMITED.after(retry_delay(reply.body))),
        _ => None,
    }
}

/// `RetryInfo.retryDelay`, seconds like `34.07s`.
fn retry_delay(body: &Value) -> Option<Duration> {
    let details = body.pointer("/error/details")?.as_array()?;
    let text = details
        .iter()
        .find_map(|detail| detail.get("retryDelay")?.as_str())?;
    let seconds: f64 = text.strip_suffix('s')?.parse().ok()?;
    Duration::try_from_secs_f64(seconds.clamp(0.0, 3600.0)).ok()
}

/// How many given pictures a model looks at.
fn max_references(model: &str) -> usize {
    if model.starts_with("gemini-2.") {
        3
    } else {
        14
    }
}

impl Gemini {
    /// The Gemini image models with this account.
    #[must_use]
    pub const fn new(access: Access) -> Self {
        Self {
            api: access.api(KeyIn::Header("x-goog-api-key"), judge),
        }
    }

    /// The body of one call, how many of them are made, and what of the request is left out or changed.
    fn body(
        &self,
        input: &Input,
        given: usize,
        pictures: &[(&Reference, String)],
    ) -> Result<(Value, u32, Vec<String>), RequestError> {
        let model = self.api.upstream(Kind::Image, &input.model);
        let mut options = Options::of(input)?;
        let count = options.count(MAX_PICTURES);
        let mut image = json!({});
        if let Some(ratio) = options.ratio(&RATIOS) {
            image["aspectRatio"] = ratio.into();
        }
        let nested = input
            .options
            .get("config")
            .and_then(|config| config.pointer("/imageConfig/imageSize"))
            .and_then(Value::as_str);
        let sizes = ["1K", "2K", "4K"];
        let asked = options
            .choice("imageSize", &sizes)?
            .or(options.choice("image_size", &sizes)?);
        match asked.or(nested.and_then(|text| sizes.into_iter().find(|size| *size == text))) {
            Some("1K") | None => {}
            Some(_) if model.starts_with("gemini-2.") => {
                options.warn("This model makes pictures of 1K only.");
            }
            Some(size) => image["imageSize"] = size.into(),
        }
        let mut config = json!({ "responseModalities": ["IMAGE"] });
        if image.as_object().is_some_and(|fields| !fields.is_empty()) {
            config["imageConfig"] = image;
        }
        if let Some(temperature) = options.number("temperature", 0.0, 2.0)? {
            config["temperature"] = temperature.into();
        }
        if let Some(top_p) = options.number("topP", 0.0, 1.0)? {
            config["topP"] = top_p.into();
        }
        if let Some(tokens) = options.integer("outputLength", 1, MAX_TOKENS)? {
            config["maxOutputTokens"] = tokens.into();
        }
        if let Some(seed) = options.seed(MAX_SEED) {
            config["seed"] = seed.into();
        }
        let taken = options.references(given, max_references(model));
        let mut parts = vec![json!({ "text": input.prompt })];
        for (picture, base64) in pictures.iter().take(taken) {
            parts.push(json!({ "inlineData": { "mimeType": picture.mime_type, "data": base64 } }));
        }
        let body =
            json!({ "contents": [{ "role": "user", "parts": parts }], "generationConfig": config });
        Ok((body, count, options.finish()))
    }

    /// One call, and the picture of its answer as base64.
    async fn picture(&self, model: &str, body: Value) -> Result<String, ProviderError> {
        let method = format!("{model}:generateContent");
        let call = self.api.post(&["models", &method]).json(body);
        read(call.with_pictures().send().await?.json()?)
    }
}

/// The first picture of an answer that is no draft, or why there is none.
fn read(mut answer: Value) -> Result<String, ProviderError> {
    if let Some(parts) = answer
        .pointer_mut("/candidates/0/content/parts")
        .and_then(Value::as_array_mut)
    {
        for part in parts {
            let is_draft = part.get("thought").and_then(Value::as_bool) == Some(true);
            if let (false, Some(Value::String(data))) =
                (is_draft, part.pointer_mut("/inlineData/data"))
            {
                return Ok(std::mem::take(data));
            }
        }
    }
    if let Some(reason) = answer
        .pointer("/promptFeedback/blockReason")
        .and_then(Value::as_str)
    {
        return Err(Verdict::MODERATED.error(format!("the prompt was blocked: {reason}")));
    }
    let reason = answer
        .pointer("/candidates/0/finishReason")
        .and_then(Value::as_str)
        .unwrap_or("no reason");
    let verdict = match reason {
        "SAFETY"
        | "RECITATION"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION" => Verdict::MODERATED,
        _ => Verdict::BAD_UPSTREAM,
    };
    Err(verdict.error(format!("no picture: {reason}")))
}

#[async_trait]
impl Provider for Gemini {
    fn check(&self, input: &Input, references: usize) -> Result<Checked, RequestError> {
        let (_, outputs, warnings) = self.body(input, references, &[])?;
        Ok(Checked { outputs, warnings })
    }

    fn upstream_model(&self, input: &Input) -> String {
        self.api.upstream(Kind::Image, &input.model).to_owned()
    }

    async fn submit(&self, work: &Work<'_>) -> Result<Submission, ProviderError> {
        let base64 = encode(work.references).await?;
        let pictures: Vec<_> = work.references.iter().zip(base64).collect();
        let (body, count, _) = self.body(work.input, pictures.len(), &pictures)?;
        let model = self.api.upstream(Kind::Image, &work.input.model);
        let calls = (0..count).map(|_| self.picture(model, body.clone()));
        let (made, failed): (Vec<_>, Vec<_>) =
            join_all(calls).await.into_iter().partition(Result::is_ok);
        // What came is delivered and charged; only when nothing came has it failed.
        if let (true, Some(Err(error))) = (made.is_empty(), failed.into_iter().next()) {
            return Err(error);
        }
        let texts = made.into_iter().filter_map(Result::ok).collect();
        Ok(Submission::Done(decode(texts).await?))
    }

    fn pace(&self, kind: Kind) -> Pace {
        self.api.pace(kind)
    }

    fn result_policy(&self, max_bytes: u64) -> Policy {
        self.api.result_policy(max_bytes)
    }
}
