//! Recraft: pictures, pictures from a picture, and upscales, in one call each.
//!
//! Wire facts: the provider's API reference and section 5 of the providers contract.

mod body;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    generation::{
        RequestError,
        error::{FaultClass, ProviderError},
        kit::{Access, Api, Form, KeyIn, Options, Reply, Verdict},
        provider::{Checked, GivenPicture, Output, Pace, Provider, Reference, Submission, Work},
        request::{Input, Kind},
    },
    net::Policy,
    storage::ImageKind,
};

/// Limits of a given picture.
const BYTES_MAX: u64 = 10 * 1024 * 1024;
const PIXELS_MAX: u64 = 16_000_000;
const SIDE_MAX: u32 = 4096;
const SIDE_MIN: u32 = 32;
/// Shortest side that a creative upscale takes.
const CREATIVE_SIDE_MIN: u32 = 256;

/// The Recraft models.
pub struct Recraft {
    api: Api,
}

/// Pictures as a list, or one.
#[derive(Debug, Deserialize)]
struct Made {
    #[serde(default)]
    data: Vec<Picture>,
    #[serde(default)]
    image: Option<Picture>,
}

#[derive(Debug, Deserialize)]
struct Picture {
    url: Option<String>,
}

/// Errors are `{code, message}` or a plain text such as `request unauthorized`.
fn judge(reply: &Reply<'_>) -> Option<Verdict> {
    match reply.status {
        400..=499
            if reply.says(&[
                "not enough credits",
                "not_enough_credits",
                "insufficient credits",
            ]) =>
        {
            Some(Verdict::OUT_OF_CREDITS)
        }
        400 | 403 | 422
            if reply.says(&["moderation", "content policy", "inappropriate", "nsfw"]) =>
        {
            Some(Verdict::MODERATED)
        }
        400 if reply.says(&["unknown model", "invalid model", "unsupported model"]) => {
            Some(Verdict::MISCONFIGURED)
        }
        _ => None,
    }
}

impl Recraft {
    /// Recraft with this account.
    #[must_use]
    pub const fn new(access: Access) -> Self {
        Self {
            api: access.api(KeyIn::Bearer, judge),
        }
    }

    fn model<'a>(&'a self, input: &'a Input) -> &'a str {
        self.api.upstream(input.kind, &input.model)
    }

    async fn picture(
        &self,
        input: &Input,
        references: &[Reference],
    ) -> Result<Made, ProviderError> {
        let fields = body::build(input, self.model(input), references.len())?.fields;
        let Some(picture) = references.first() else {
            let call = self.api.post(&["images", "generations"]);
            return call.json(Value::Object(fields)).send().await?.read();
        };
        let mut form = Form::default().picture("image", picture);
        for name in FORM_FIELDS {
            form = form.maybe(name, fields.get(name).map(plain));
        }
        self.api
            .post(&["images", "imageToImage"])
            .form(form)
            .send()
            .await?
            .read()
    }

    async fn upscale(
        &self,
        input: &Input,
        references: &[Reference],
    ) -> Result<Made, ProviderError> {
        let picture = references
            .first()
            .ok_or_else(|| ProviderError::new(FaultClass::BadInput, "no picture to enlarge"))?;
        let format = Options::of(input)?.format(&FORMATS);
        let form = Form::default()
            .picture("file", picture)
            .text("response_format", "url")
            .maybe("image_format", format);
        self.api
            .post(&["images", self.model(input)])
            .form(form)
            .send()
            .await?
            .read()
    }
}

const FORMATS: [&str; 2] = ["png", "webp"];
/// The fields beside a picture.
const FORM_FIELDS: [&str; 11] = [
    "prompt",
    "model",
    "n",
    "response_format",
    "random_seed",
    "image_format",
    "strength",
    "style",
    "substyle",
    "style_id",
    "negative_prompt",
];

/// A value as the text of a form.
fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), ToOwned::to_owned)
}

#[async_trait]
impl Provider for Recraft {
    fn capabilities(&self) -> &'static [Kind] {
        &[Kind::Image, Kind::Upscale]
    }

    fn check(&self, input: &Input, references: usize) -> Result<Checked, RequestError> {
        if input.kind == Kind::Upscale {
            let mut options = Options::of(input)?;
            options.format(&FORMATS);
            options.warn("Recraft chooses the factor itself; scale is ignored.");
            return Ok(Checked {
                outputs: 1,
                warnings: options.finish(),
            });
        }
        let wanted = body::build(input, self.model(input), references)?;
        Ok(Checked {
            outputs: wanted.count,
            warnings: wanted.warnings,
        })
    }

    fn check_given(&self, input: &Input, given: &GivenPicture) -> Result<(), RequestError> {
        let (width, height) = given.sides;
        let side_min = if self.model(input) == "creativeUpscale" {
            CREATIVE_SIDE_MIN
        } else {
            SIDE_MIN
        };
        let fits = given.size_bytes <= BYTES_MAX
            && u64::from(width).saturating_mul(u64::from(height)) <= PIXELS_MAX
            && width.max(height) <= SIDE_MAX
            && width.min(height) >= side_min
            && given.kind != ImageKind::Gif;
        if fits {
            return Ok(());
        }
        Err(RequestError::InvalidReference(format!(
            "The picture must be a PNG, JPEG or WebP of at most 10 MB and 16 megapixels, with sides \
             of {side_min} to {SIDE_MAX} pixels, for this model."
        )))
    }

    fn upstream_model(&self, input: &Input) -> String {
        self.model(input).to_owned()
    }

    async fn submit(&self, work: &Work<'_>) -> Result<Submission, ProviderError> {
        let made = if work.input.kind == Kind::Upscale {
            self.upscale(work.input, work.references).await?
        } else {
            self.picture(work.input, work.references).await?
        };
        let urls = made
            .data
            .into_iter()
            .chain(made.image)
            .filter_map(|picture| picture.url);
        Ok(Submission::Done(urls.map(Output::Url).collect()))
    }

    fn pace(&self, kind: Kind) -> Pace {
        self.api.pace(kind)
    }

    fn result_policy(&self, max_bytes: u64) -> Policy {
        self.api.result_policy(max_bytes)
    }
}
