//! Reve: pictures, edits and upscales in one call each, which takes a minute or so.
//!
//! Wire facts: the provider's SDK (`reve` 0.1) and section 6 of the providers contract. The picture
//! is asked for as bytes, so that it is never held as base64; what is known about it is in headers.

mod body;

use async_trait::async_trait;

use crate::{
    generation::{
        RequestError,
        error::{FaultClass, ProviderError},
        kit::{Access, Answer, Api, KeyIn, Reply, Verdict, encode},
        provider::{Checked, GivenPicture, Output, Pace, Provider, Submission, Work},
        request::{Input, Kind},
    },
    net::Policy,
    storage::ImageKind,
};
use body::{Model, Request};

/// Limits of a given picture.
const SIDE_MAX: u32 = 8192;
const PIXELS_MAX: u64 = 33_554_432;

/// The Reve models.
pub struct Reve {
    api: Api,
}

/// Errors are `{error_code, message, params}`.
fn judge(reply: &Reply<'_>) -> Option<Verdict> {
    let code = reply.at("/error_code");
    if code.contains("CONTENT") && (code.contains("VIOLATION") || code.contains("POLICY")) {
        return Some(Verdict::MODERATED);
    }
    match reply.status {
        400..=499
            if reply.says(&[
                "insufficient credit",
                "budget exhausted",
                "budget has run out",
            ]) =>
        {
            Some(Verdict::OUT_OF_CREDITS)
        }
        // `latest` always is there: a version that is not is our setting.
        400 if reply.body.pointer("/params/version").is_some() => Some(Verdict::MISCONFIGURED),
        _ => None,
    }
}

impl Reve {
    /// Reve with this account.
    #[must_use]
    pub const fn new(access: Access) -> Self {
        Self {
            api: access.api(KeyIn::Bearer, judge),
        }
    }

    fn request(
        &self,
        input: &Input,
        count: usize,
        pictures: &[String],
    ) -> Result<(Request, Vec<String>), RequestError> {
        let model = Model::parse(self.api.upstream(input.kind, &input.model));
        if input.kind == Kind::Upscale {
            body::upscale(input, model, pictures.first())
        } else {
            body::build(input, model, count, pictures)
        }
    }
}

/// The picture of an answer. A refusal comes with 200 and a header, with or without a picture.
fn picture_of(answer: Answer) -> Result<Output, ProviderError> {
    let header = |name: &str| {
        let value = answer
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_ascii_lowercase()
    };
    if ["true", "1", "yes"].contains(&header("x-reve-content-violation").as_str()) {
        return Err(Verdict::MODERATED.error("the picture violates the content rules"));
    }
    let code = header("x-reve-error-code");
    if !code.is_empty() || !answer.content_type.starts_with("image/") {
        let detail = format!("no picture in the answer: {} {code}", answer.content_type);
        return Err(ProviderError::new(FaultClass::BadUpstream, detail));
    }
    Ok(Output::Bytes(answer.bytes))
}

#[async_trait]
impl Provider for Reve {
    fn capabilities(&self) -> &'static [Kind] {
        &[Kind::Image, Kind::Upscale]
    }

    fn check(&self, input: &Input, references: usize) -> Result<Checked, RequestError> {
        let (_, warnings) = self.request(input, references, &[])?;
        Ok(Checked {
            outputs: 1,
            warnings,
        })
    }

    fn check_given(&self, _input: &Input, given: &GivenPicture) -> Result<(), RequestError> {
        let (width, height) = given.sides;
        let is_large = width.max(height) > SIDE_MAX
            || u64::from(width).saturating_mul(u64::from(height)) > PIXELS_MAX;
        if is_large || given.kind == ImageKind::Gif {
            return Err(RequestError::InvalidReference(format!(
                "Reference images must be PNG, JPEG or WebP of at most {SIDE_MAX} pixels a side and \
                 33 megapixels for this model."
            )));
        }
        Ok(())
    }

    fn upstream_model(&self, input: &Input) -> String {
        self.api.upstream(input.kind, &input.model).to_owned()
    }

    async fn submit(&self, work: &Work<'_>) -> Result<Submission, ProviderError> {
        let pictures = encode(work.references).await?;
        let (request, _) = self.request(work.input, pictures.len(), &pictures)?;
        let call = self
            .api
            .post(&request.path)
            .header("accept", request.accept);
        let answer = call.json(request.body).with_pictures().send().await?;
        Ok(Submission::Done(vec![picture_of(answer)?]))
    }

    fn pace(&self, kind: Kind) -> Pace {
        self.api.pace(kind)
    }

    fn result_policy(&self, max_bytes: u64) -> Policy {
        self.api.result_policy(max_bytes)
    }
}
