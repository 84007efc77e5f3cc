//! Runway: pictures and upscales as tasks that are polled.
//!
//! Wire facts: the provider's SDK types (`@runwayml/sdk` 4.20), its pages on errors, and sections 4
//! and 13 of the providers contract.

mod body;
mod inputs;
mod models;
pub mod tasks;
pub mod video;

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::{
    generation::{
        RequestError,
        error::ProviderError,
        kit::{Access, Api, KeyIn},
        provider::{Checked, GivenPicture, Pace, Provider, Status, Submission, Task, Work},
        request::{Input, Kind},
    },
    net::Policy,
    storage::ImageKind,
};
use body::Wanted;
use inputs::Inputs;

/// Sides of a picture that can be enlarged, pixels, and the area of what comes out.
const UPSCALE_SIDES: std::ops::RangeInclusive<u32> = 300..=8000;
const UPSCALE_AREA_MAX: u64 = 25_300_000;

/// Runway's picture models and its upscaler.
pub struct Runway {
    api: Api,
    inputs: Inputs,
}

impl Runway {
    /// Runway with this account.
    #[must_use]
    pub fn new(access: Access) -> Self {
        Self {
            api: access.api(KeyIn::Bearer, tasks::judge),
            inputs: Inputs::default(),
        }
    }

    fn model<'a>(&'a self, input: &'a Input) -> &'a str {
        self.api.upstream(input.kind, &input.model)
    }

    fn wanted(&self, input: &Input, references: usize) -> Result<Wanted, RequestError> {
        match input.kind {
            Kind::Upscale => body::upscale(input, self.model(input)),
            Kind::Image | Kind::Video | Kind::Scene => {
                body::picture(input, self.model(input), references)
            }
        }
    }
}

#[async_trait]
impl Provider for Runway {
    fn capabilities(&self) -> &'static [Kind] {
        &[Kind::Image, Kind::Upscale]
    }

    fn check(&self, input: &Input, references: usize) -> Result<Checked, RequestError> {
        let wanted = self.wanted(input, references)?;
        Ok(Checked {
            outputs: wanted.outputs,
            warnings: wanted.warnings,
        })
    }

    fn check_source(&self, input: &Input, sides: (u32, u32)) -> Result<(), RequestError> {
        let scale = u64::from(input.scale.unwrap_or(1));
        let (width, height) = sides;
        let area = [u64::from(width), u64::from(height), scale, scale]
            .into_iter()
            .fold(1, u64::saturating_mul);
        if UPSCALE_SIDES.contains(&width)
            && UPSCALE_SIDES.contains(&height)
            && area <= UPSCALE_AREA_MAX
        {
            return Ok(());
        }
        Err(RequestError::InvalidReference(format!(
            "imageUrl must have sides of {} to {} pixels, and the enlarged picture may have at most \
             25.3 megapixels.",
            UPSCALE_SIDES.start(),
            UPSCALE_SIDES.end()
        )))
    }

    fn check_given(&self, _input: &Input, given: &GivenPicture) -> Result<(), RequestError> {
        if given.kind == ImageKind::Gif {
            return Err(RequestError::InvalidReference(
                "Reference images must be PNG, JPEG or WebP for this model.".to_owned(),
            ));
        }
        Ok(())
    }

    fn upstream_model(&self, input: &Input) -> String {
        self.model(input).to_owned()
    }

    async fn submit(&self, work: &Work<'_>) -> Result<Submission, ProviderError> {
        let Wanted { mut body, tags, .. } = self.wanted(work.input, work.references.len())?;
        let used = work.references.get(..tags.len()).unwrap_or(work.references);
        let uris = self.inputs.uris(&self.api, used).await?;
        let endpoint = if work.input.kind == Kind::Upscale {
            body.insert("imageUri".into(), uris.into_iter().next().into());
            "image_upscale"
        } else {
            if !uris.is_empty() {
                let references = uris.into_iter().zip(tags).map(|(uri, tag)| match tag {
                    Some(tag) => json!({ "uri": uri, "tag": tag }),
                    None => json!({ "uri": uri }),
                });
                body.insert("referenceImages".into(), references.collect());
            }
            "text_to_image"
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
        self.api.result_policy(max_bytes)
    }
}
