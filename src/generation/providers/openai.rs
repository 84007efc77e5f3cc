//! OpenAI's GPT image models: one call, pictures as base64 in the answer.
//!
//! Wire facts: the types of the official SDK (`resources/images`) and section 10 of the providers
//! contract: `POST /images/generations` with JSON, `POST /images/edits` as a form when pictures are given.

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    generation::{
        RequestError,
        error::ProviderError,
        kit::{Access, Api, Form, KeyIn, Options, Reply, Verdict, Wanted, decode, nearest_size},
        provider::{Checked, Pace, Provider, Submission, Work},
        request::{Input, Kind},
    },
    net::Policy,
};

/// Sizes of every GPT image model.
const SIZES: [(u32, u32); 3] = [(1024, 1024), (1536, 1024), (1024, 1536)];
/// Bounds of models that take any size: step of a side, area in pixels, ratio.
const SIDE_STEP: u32 = 16;
const MIN_AREA: f64 = 655_360.0;
const MAX_RATIO: f64 = 3.0;
const MAX_PICTURES: u32 = 10;
const MAX_REFERENCES: usize = 16;

/// The pictures of the `chatgpt` route.
pub struct OpenAi {
    api: Api,
}

#[derive(Deserialize)]
struct Images {
    #[serde(default)]
    data: Vec<Image>,
}

#[derive(Deserialize)]
struct Image {
    b64_json: Option<String>,
}

/// Its codes tell more than its statuses: an empty account is a 429 or a 400.
fn judge(reply: &Reply<'_>) -> Option<Verdict> {
    match reply.at("/error/code").as_str() {
        "moderation_blocked" | "content_policy_violation" => Some(Verdict::MODERATED),
        "insufficient_quota" | "billing_hard_limit_reached" | "billing_not_active" => {
            Some(Verdict::OUT_OF_CREDITS)
        }
        "invalid_api_key" | "account_deactivated" => Some(Verdict::KEY_REJECTED),
        "model_not_found" => Some(Verdict::MISCONFIGURED),
        "rate_limit_exceeded" => Some(Verdict::RATE_LIMITED),
        _ if reply.says(&["safety system"]) => Some(Verdict::MODERATED),
        _ if reply.says(&["must be verified"]) => Some(Verdict::MISCONFIGURED),
        _ => None,
    }
}

impl OpenAi {
    /// The GPT image models with this account.
    #[must_use]
    pub const fn new(access: Access) -> Self {
        Self {
            api: access.api(KeyIn::Bearer, judge),
        }
    }

    /// The fields of the call, how many pictures it makes, and what of the request is left out or changed.
    fn fields(&self, input: &Input, references: usize) -> Wanted<u32> {
        let model = self.api.upstream(Kind::Image, &input.model);
        let mut options = Options::of(input)?;
        let mut fields = Map::new();
        let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
        put("model", model.into());
        put("prompt", input.prompt.as_str().into());
        let count = options.count(MAX_PICTURES);
        put("n", count.into());
        if let Some((width, height)) = size(&mut options, takes_any_size(model)) {
            put("size", format!("{width}x{height}").into());
        }
        let qualities = ["low", "medium", "high", "auto", "standard", "hd"];
        if let Some(quality) = options.choice("quality", &qualities)? {
            let quality = match quality {
                "standard" => "medium",
                "hd" => "high",
                other => other,
            };
            put("quality", quality.into());
        }
        let format = options.format(&["png", "jpeg", "webp"]);
        if let Some(background) = background(&mut options, model, format)? {
            put("background", background.into());
        }
        if let Some(format) = format {
            put("output_format", format.into());
        }
        if let Some(compression) = options.integer("output_compression", 0, 100)? {
            if matches!(format, Some("jpeg" | "webp")) {
                put("output_compression", compression.into());
            } else {
                options.warn("output_compression is for jpeg and webp only.");
            }
        }
        if references > 0 {
            let fidelity = options.choice("input_fidelity", &["high", "low"])?;
            match fidelity {
                Some(_) if model.contains("mini") => {
                    options.warn("input_fidelity is not supported by this model.");
                }
                Some(fidelity) => {
                    put("input_fidelity", fidelity.into());
                }
                None => {}
            }
        } else if let Some(moderation) = options.choice("moderation", &["auto", "low"])? {
            put("moderation", moderation.into());
        }
        options.references(references, MAX_REFERENCES);
        Ok((fields, count, options.finish()))
    }
}

fn takes_any_size(model: &str) -> bool {
    model.starts_with("gpt-image-2")
}

/// The size to ask for; `None` leaves it to the model.
fn size(options: &mut Options<'_>, is_free: bool) -> Option<(u32, u32)> {
    if !is_free {
        return options.size(&SIZES);
    }
    options.sizes_itself();
    let common = options.common();
    if common.size.is_none() && common.ratio.is_none() {
        return None;
    }
    let exact = common.size;
    let (width, height) = common.pixels();
    let (wide, high) = (f64::from(width), f64::from(height));
    let is_drawable = wide * high >= MIN_AREA && (wide / high).max(high / wide) <= MAX_RATIO;
    let fit =
        |side: u32| (side.saturating_add(SIDE_STEP / 2) / SIDE_STEP * SIDE_STEP).max(SIDE_STEP);
    let fitting = if is_drawable {
        (fit(width), fit(height))
    } else {
        nearest_size((width, height), &SIZES)?
    };
    if exact.is_some_and(|size| size != fitting) {
        options.warn(format!(
            "The size was changed to {}x{}.",
            fitting.0, fitting.1
        ));
    }
    Some(fitting)
}

/// The client names colours too; what a model or format cannot do is left to the model.
fn background(
    options: &mut Options<'_>,
    model: &str,
    format: Option<&str>,
) -> Result<Option<&'static str>, RequestError> {
    let known = ["transparent", "opaque", "auto", "white", "black"];
    Ok(match options.choice("background", &known)? {
        Some("transparent") if takes_any_size(model) => {
            options.warn("This model makes no transparent backgrounds.");
            Some("auto")
        }
        Some("transparent") if format == Some("jpeg") => {
            options.warn("A jpeg has no transparent background.");
            Some("auto")
        }
        Some("white" | "black") => {
            options.warn("The colour of the background cannot be chosen; it is made opaque.");
            Some("opaque")
        }
        other => other,
    })
}

#[async_trait]
impl Provider for OpenAi {
    fn check(&self, input: &Input, references: usize) -> Result<Checked, RequestError> {
        let (_, outputs, warnings) = self.fields(input, references)?;
        Ok(Checked { outputs, warnings })
    }

    fn upstream_model(&self, input: &Input) -> String {
        self.api.upstream(Kind::Image, &input.model).to_owned()
    }

    async fn submit(&self, work: &Work<'_>) -> Result<Submission, ProviderError> {
        let (fields, count, _) = self.fields(work.input, work.references.len())?;
        let call = if work.references.is_empty() {
            self.api
                .post(&["images", "generations"])
                .json(Value::Object(fields))
        } else {
            let form = fields
                .iter()
                .fold(Form::default(), |form, (name, value)| match value {
                    Value::String(text) => form.text(name, text),
                    other => form.text(name, other),
                });
            let pictures = work.references.iter().take(MAX_REFERENCES);
            let form = pictures.fold(form, |form, picture| form.picture("image[]", picture));
            self.api.post(&["images", "edits"]).form(form)
        };
        let images: Images = call.with_pictures().send().await?.read()?;
        let wanted = usize::try_from(count).unwrap_or(usize::MAX);
        let texts = images.data.into_iter().filter_map(|image| image.b64_json);
        Ok(Submission::Done(
            decode(texts.take(wanted).collect()).await?,
        ))
    }

    fn pace(&self, kind: Kind) -> Pace {
        self.api.pace(kind)
    }

    fn result_policy(&self, max_bytes: u64) -> Policy {
        self.api.result_policy(max_bytes)
    }
}
