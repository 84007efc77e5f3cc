//! Admission of videos and upscales.

use sea_orm::prelude::Uuid;
use serde_json::{Map, Value, json};
use url::Url;

use super::{Given, Order, Origin};
use crate::{
    generation::{
        RequestError, frames,
        pipeline::Pipeline,
        registry::Offer,
        request::{Input, Kind},
    },
    models::{jobs::JobType, users::Profile},
};

/// A video that a user wants.
#[derive(Debug, Default)]
pub struct WantedVideo {
    pub provider: String,
    pub model: Option<String>,
    pub prompt: String,
    /// The picture to begin with, as base64 or data URL.
    pub image: Option<String>,
    /// Pictures to begin and end with, each with its field: base64, data URLs, or addresses.
    pub images: Vec<(String, String)>,
    /// May hold the same pictures under the providers' names.
    pub options: Map<String, Value>,
    pub avatar_id: Option<String>,
    pub avatar_image_id: Option<String>,
    pub product_id: Option<String>,
    pub style_id: Option<String>,
}

/// A picture that a user wants larger.
#[derive(Debug)]
pub struct WantedUpscale {
    pub provider: String,
    pub model: String,
    pub image_url: String,
    /// How many times longer each side becomes.
    pub scale: u32,
    pub options: Map<String, Value>,
}

impl Pipeline {
    /// Admits a video job and gives its id.
    ///
    /// # Errors
    /// See [`RequestError`]; nothing is written then.
    pub async fn admit_video(
        &self,
        user: &Profile,
        wanted: WantedVideo,
        origin: Origin,
    ) -> Result<Uuid, RequestError> {
        let offer = Offer::find(Kind::Video, &wanted.provider)?;
        let model = self.registry.model(offer, wanted.model.as_deref())?;
        let mut options = wanted.options;
        // Some screens send it for "any"; upstream takes the absence for that everywhere.
        if options.get("seed").and_then(Value::as_i64) == Some(-1) {
            options.remove("seed");
        }
        let frames = frames::take(wanted.image, wanted.images, &mut options)?;
        let order = Order {
            job_type: JobType::VideoGeneration,
            provider: offer.provider,
            prompt: Some(wanted.prompt.clone()),
            input: Input {
                prompt: wanted.prompt,
                model,
                options,
                avatar_id: wanted.avatar_id,
                avatar_image_id: wanted.avatar_image_id,
                product_id: wanted.product_id,
                style_id: wanted.style_id,
                ..Input::default()
            },
            given: Given::Addresses(frames),
            price: Kind::Video.price(&self.settings.credits.prices),
            metadata: Map::new(),
            items: None,
        };
        self.admit(user, order, origin).await
    }

    /// Admits an upscale job and gives its id.
    ///
    /// # Errors
    /// See [`RequestError`]; nothing is written then.
    pub async fn admit_upscale(
        &self,
        user: &Profile,
        wanted: WantedUpscale,
        origin: Origin,
    ) -> Result<Uuid, RequestError> {
        let offer = Offer::find(Kind::Upscale, &wanted.provider)?;
        let model = self.registry.model(offer, Some(&wanted.model))?;
        let shown = without_query(&wanted.image_url);
        let mut metadata = Map::new();
        metadata.insert("sourceImageUrl".to_owned(), json!(shown));
        metadata.insert("scale".to_owned(), json!(wanted.scale));
        let order = Order {
            job_type: JobType::ImageUpscale,
            provider: offer.provider,
            prompt: Some(format!("Upscale {shown}")),
            input: Input {
                model,
                options: wanted.options,
                scale: Some(wanted.scale),
                ..Input::default()
            },
            given: Given::Addresses(vec![("imageUrl".to_owned(), wanted.image_url)]),
            price: Kind::Upscale.price(&self.settings.credits.prices),
            metadata,
            items: None,
        };
        self.admit(user, order, origin).await
    }
}

/// An address without what may be a signature: queries of addresses are secrets.
fn without_query(address: &str) -> String {
    Url::parse(address).map_or_else(
        |_| String::new(),
        |mut url| {
            url.set_query(None);
            url.set_fragment(None);
            url.to_string()
        },
    )
}
