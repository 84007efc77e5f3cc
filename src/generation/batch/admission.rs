//! Admission of batches.

use sea_orm::prelude::Uuid;
use serde_json::{Map, json};

use super::DEFAULT_BATCH_SIZE;
use crate::{
    generation::{
        RequestError,
        admission::{Items, Order, Origin, WantedImage, of_image},
        pipeline::Pipeline,
        registry::Offer,
    },
    models::{jobs::JobType, users::Profile},
};

/// A batch that a user wants.
#[derive(Debug)]
pub struct WantedBatch {
    /// At least one; each makes one picture.
    pub prompts: Vec<String>,
    pub batch_size: Option<u32>,
    /// What all pictures have in common; its prompt is not looked at.
    pub picture: WantedImage,
}

impl Pipeline {
    /// Admits a batch job and gives its id.
    ///
    /// # Errors
    /// See [`RequestError`]; nothing is written then.
    pub async fn admit_batch(
        &self,
        user: &Profile,
        offer: &Offer,
        wanted: WantedBatch,
        origin: Origin,
    ) -> Result<Uuid, RequestError> {
        let model = self
            .registry
            .model(offer, wanted.picture.model.as_deref())?;
        let (mut input, given) = of_image(wanted.picture, &model);
        input.prompt.clear();
        let batch_size = wanted.batch_size.unwrap_or(DEFAULT_BATCH_SIZE);
        let mut metadata = Map::new();
        metadata.insert("prompts".to_owned(), json!(wanted.prompts));
        metadata.insert("batchSize".to_owned(), json!(batch_size));
        let order = Order {
            job_type: JobType::BatchGeneration,
            provider: offer.provider,
            prompt: None,
            input,
            given,
            price: self.settings.credits.prices.batch_prompt,
            metadata,
            items: Some(Items {
                prompts: wanted.prompts,
                batch_size,
            }),
        };
        self.admit(user, order, origin).await
    }
}
