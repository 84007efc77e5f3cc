//! From a wanted picture to an admitted job: model, options, references, credits, then one
//! transaction. Everything that can be refused is refused before anything is written.

use sea_orm::prelude::Uuid;
use serde_json::{Map, Value, json};

use super::{
    RequestError,
    pipeline::Pipeline,
    references,
    registry::ImageRoute,
    request::{ImageInput, public_options},
};
use crate::{
    jobs::{
        JobError, admission,
        once::{Once, once},
        route,
    },
    models::{
        idempotency_keys::Record,
        jobs::{JobType, NewJob},
        object_deletions,
        users::Profile,
    },
    payments::ledger::LedgerError,
    storage::{Folder, ObjectKey},
};

/// Largest options of a request without its pictures, bytes: they are stored with the job.
const MAX_OPTIONS_BYTES: usize = 64 * 1024;
/// Most warnings that a job carries.
const MAX_WARNINGS: usize = 20;

/// A picture that a user wants.
#[derive(Debug)]
pub struct WantedImage {
    pub prompt: String,
    pub model: Option<String>,
    pub image_base64: Option<String>,
    pub references: Vec<String>,
    pub options: Map<String, Value>,
    pub avatar_id: Option<String>,
    pub avatar_image_id: Option<String>,
    pub product_id: Option<String>,
    pub style_id: Option<String>,
}

/// The request that a job came from.
#[derive(Debug, Default)]
pub struct Origin {
    pub request_id: Option<String>,
    pub correlation_id: Option<String>,
    /// Set when the request must not happen twice.
    pub once: Option<Once>,
}

impl Pipeline {
    /// Admits an image job and gives its id.
    ///
    /// # Errors
    /// See [`RequestError`]; nothing is written then.
    pub async fn admit_image(
        &self,
        user: &Profile,
        route_of: &ImageRoute,
        wanted: WantedImage,
        mut origin: Origin,
    ) -> Result<Uuid, RequestError> {
        let model = route_of.resolve_model(wanted.model.as_deref())?;
        let provider = self.registry.provider(route_of.provider)?;
        self.gates.check(route_of.provider).await?;
        let mut options = wanted.options;
        let sources = references::sources(wanted.image_base64, wanted.references, &mut options);
        let size = serde_json::to_vec(&options).map_or(usize::MAX, |text| text.len());
        if size > MAX_OPTIONS_BYTES {
            return Err(RequestError::InvalidOption(format!(
                "The options must not be larger than {} KB; pictures go into references.",
                MAX_OPTIONS_BYTES / 1024
            )));
        }
        let input = ImageInput {
            prompt: wanted.prompt,
            model: model.to_owned(),
            options,
            references: Vec::new(),
            inputs_prefix: None,
            avatar_id: wanted.avatar_id,
            avatar_image_id: wanted.avatar_image_id,
            product_id: wanted.product_id,
            style_id: wanted.style_id,
        };
        let mut checked = provider.check(&input, sources.len())?;
        checked.warnings.truncate(MAX_WARNINGS);
        let price = self.settings.credits.prices.image;
        let cost = i64::from(checked.outputs).saturating_mul(price);
        // The transaction below decides; this only spares downloads and uploads where it is hopeless.
        let grace = self.settings.credits.grace;
        if !sources.is_empty() && user.available.saturating_sub(cost) < grace.saturating_neg() {
            let available = user.available;
            let required = cost;
            return Err(JobError::from(LedgerError::Insufficient {
                required,
                available,
            })
            .into());
        }
        let job_id = Uuid::now_v7();
        let keyed = origin.once.take();
        let works_outside = !sources.is_empty();
        once(&self.db, keyed, job_id, works_outside, async |record| {
            let warnings = checked.warnings;
            self.admit_with_references(
                user, route_of, job_id, input, sources, cost, warnings, origin, record,
            )
            .await
        })
        .await?;
        Ok(job_id)
    }

    /// Stores the references and admits the job; what was stored for a job that is refused goes.
    #[allow(clippy::too_many_arguments)]
    async fn admit_with_references(
        &self,
        user: &Profile,
        route_of: &ImageRoute,
        job_id: Uuid,
        mut input: ImageInput,
        sources: Vec<(String, String)>,
        cost: i64,
        warnings: Vec<String>,
        origin: Origin,
        record: Option<&Record>,
    ) -> Result<(), RequestError> {
        let images = references::load(sources, &self.fetcher, &self.settings).await?;
        if !images.is_empty() {
            input.inputs_prefix = Some(ObjectKey::job_prefix(Folder::Inputs, user.id, job_id));
        }
        let prefix = input.inputs_prefix.clone();
        let admitted = async {
            if !images.is_empty() {
                let (db, storage) = (&self.db, &self.storage);
                input.references =
                    references::store(images, user.id, job_id, db, storage, &self.settings).await?;
            }
            let job = self.new_job(user, route_of, job_id, &input, cost, warnings, origin)?;
            let carrier = self.carrier.as_ref();
            let (db, announcer) = (&self.db, &self.announcer);
            admission::admit(db, carrier, announcer, &self.settings, job, record).await?;
            Ok(())
        }
        .await;
        if let (Err(_), Some(prefix)) = (&admitted, &prefix) {
            // The note made at the upload is for crashes and waits long. Should the job be there after
            // all, its inputs are kept as long as it is not final.
            object_deletions::Entity::schedule(&self.db, prefix, true, 0)
                .await
                .ok();
        }
        admitted
    }

    #[allow(clippy::too_many_arguments)]
    fn new_job(
        &self,
        user: &Profile,
        route_of: &ImageRoute,
        id: Uuid,
        input: &ImageInput,
        cost: i64,
        warnings: Vec<String>,
        origin: Origin,
    ) -> Result<NewJob, RequestError> {
        let job_type = JobType::ImageGeneration;
        Ok(NewJob {
            id,
            user_id: user.id,
            queue: route(&job_type).queue.to_owned(),
            r#type: job_type,
            provider: route_of.provider.to_owned(),
            model: input.model.clone(),
            prompt: Some(input.prompt.clone()),
            input: serde_json::to_value(input)
                .map_err(|error| RequestError::InvalidOption(error.to_string()))?,
            metadata: json!({
                "options": public_options(&input.options),
                "avatarId": input.avatar_id,
                "avatarImageId": input.avatar_image_id,
                "productId": input.product_id,
                "styleId": input.style_id,
            }),
            warnings: json!(warnings),
            cost,
            deadline_ms: i64::try_from(self.settings.jobs.deadline_ms).unwrap_or(i64::MAX),
            request_id: origin.request_id,
            correlation_id: origin.correlation_id,
        })
    }
}
