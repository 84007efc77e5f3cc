//! From wanted work to an admitted job: model, options, given pictures, credits, then one
//! transaction. Everything that can be refused is refused before anything is written.

mod kinds;

use bytes::Bytes;
use sea_orm::prelude::Uuid;
use serde_json::{Map, Value, json};

use super::{
    RequestError,
    batch::BatchInput,
    pipeline::Pipeline,
    provider::{Checked, Provider},
    references::{self, ReferenceImage},
    registry::Offer,
    request::{Input, Kind, public_options},
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
    storage::{Folder, ObjectKey, Share},
};
pub use kinds::{WantedUpscale, WantedVideo};

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

/// Given pictures, each with the field that it came in.
#[derive(Debug)]
pub(super) enum Given {
    /// Base64, data URLs, or public addresses.
    Pictures(Vec<(String, String)>),
    /// The same, and addresses may be the caller's own files.
    Addresses(Vec<(String, String)>),
    /// The pictures themselves.
    Bytes(Vec<(String, Bytes)>),
}

impl Given {
    const fn len(&self) -> usize {
        match self {
            Self::Pictures(given) | Self::Addresses(given) => given.len(),
            Self::Bytes(given) => given.len(),
        }
    }
}

/// The prompts of a batch and how many are worked at the same time.
#[derive(Debug)]
pub(super) struct Items {
    pub prompts: Vec<String>,
    pub batch_size: u32,
}

/// A job to be, whatever its type.
#[derive(Debug)]
pub(super) struct Order {
    pub job_type: JobType,
    pub provider: &'static str,
    pub input: Input,
    pub given: Given,
    /// Credits for one result.
    pub price: i64,
    /// What the owner's lists show as its prompt.
    pub prompt: Option<String>,
    /// What the owner sees beside options and ids.
    pub metadata: Map<String, Value>,
    pub items: Option<Items>,
}

impl Pipeline {
    /// Admits an image job and gives its id.
    ///
    /// # Errors
    /// See [`RequestError`]; nothing is written then.
    pub async fn admit_image(
        &self,
        user: &Profile,
        offer: &Offer,
        wanted: WantedImage,
        origin: Origin,
    ) -> Result<Uuid, RequestError> {
        let model = self.registry.model(offer, wanted.model.as_deref())?;
        let (input, given) = of_image(wanted, &model);
        let order = Order {
            job_type: JobType::ImageGeneration,
            provider: offer.provider,
            prompt: Some(input.prompt.clone()),
            input,
            given,
            price: Kind::Image.price(&self.settings.credits.prices),
            metadata: Map::new(),
            items: None,
        };
        self.admit(user, order, origin).await
    }

    pub(super) async fn admit(
        &self,
        user: &Profile,
        mut order: Order,
        mut origin: Origin,
    ) -> Result<Uuid, RequestError> {
        order.input.kind = Kind::of(&order.job_type);
        let provider = self.registry.provider(order.provider, order.input.kind)?;
        self.gates.check(order.provider).await?;
        let size = serde_json::to_vec(&order.input.options).map_or(usize::MAX, |text| text.len());
        if size > MAX_OPTIONS_BYTES {
            return Err(RequestError::InvalidOption(format!(
                "The options must not be larger than {} KB; pictures go into references.",
                MAX_OPTIONS_BYTES / 1024
            )));
        }
        let checked = check(&order, provider.as_ref())?;
        if order.given.len() > 0 {
            self.check_reach(provider.as_ref())?;
        }
        let cost = i64::from(checked.outputs).saturating_mul(order.price);
        // The transaction below decides; this only spares downloads and uploads where it is hopeless.
        let grace = self.settings.credits.grace;
        if order.given.len() > 0 && user.available.saturating_sub(cost) < grace.saturating_neg() {
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
        let works_outside = order.given.len() > 0;
        once(&self.db, keyed, job_id, works_outside, async |record| {
            let checked = (cost, checked.warnings);
            self.take_in_and_admit(
                user,
                job_id,
                order,
                provider.as_ref(),
                checked,
                origin,
                record,
            )
            .await
        })
        .await?;
        Ok(job_id)
    }

    /// Stores the given pictures and admits the job; what was stored for a job that is refused goes.
    #[allow(clippy::too_many_arguments)]
    async fn take_in_and_admit(
        &self,
        user: &Profile,
        job_id: Uuid,
        mut order: Order,
        provider: &dyn Provider,
        (cost, warnings): (i64, Vec<String>),
        origin: Origin,
        record: Option<&Record>,
    ) -> Result<(), RequestError> {
        let (images, _share) = self.load(user, &mut order, provider).await?;
        if !images.is_empty() {
            let prefix = ObjectKey::job_prefix(Folder::Inputs, user.id, job_id);
            order.input.inputs_prefix = Some(prefix);
        }
        let prefix = order.input.inputs_prefix.clone();
        let admitted = async {
            if !images.is_empty() {
                let (db, storage) = (&self.db, &self.storage);
                order.input.references =
                    references::store(images, user.id, job_id, db, storage, &self.settings).await?;
            }
            let job = self.new_job(user, job_id, order, cost, warnings, origin)?;
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

    /// Loads and checks the given pictures.
    async fn load(
        &self,
        user: &Profile,
        order: &mut Order,
        provider: &dyn Provider,
    ) -> Result<(Vec<ReferenceImage>, Share), RequestError> {
        let given = std::mem::replace(&mut order.given, Given::Pictures(Vec::new()));
        let (images, share) = match given {
            Given::Pictures(given) => self.pictures(user.id, given, false).await?,
            Given::Addresses(given) => self.pictures(user.id, given, true).await?,
            Given::Bytes(given) => (references::inspect(given, &self.settings)?, Share::none()),
        };
        for image in &images {
            provider.check_given(&order.input, &image.given())?;
            if order.input.kind == Kind::Upscale {
                provider.check_source(&order.input, image.sides)?;
            }
        }
        Ok((images, share))
    }

    fn new_job(
        &self,
        user: &Profile,
        id: Uuid,
        order: Order,
        cost: i64,
        warnings: Vec<String>,
        origin: Origin,
    ) -> Result<NewJob, RequestError> {
        let mut metadata = order.metadata;
        for (name, value) in [
            ("options", json!(public_options(&order.input.options))),
            ("avatarId", json!(order.input.avatar_id)),
            ("avatarImageId", json!(order.input.avatar_image_id)),
            ("productId", json!(order.input.product_id)),
            ("styleId", json!(order.input.style_id)),
        ] {
            metadata.insert(name.to_owned(), value);
        }
        let model = order.input.model.clone();
        let (prompts, input) = match order.items {
            None => (Vec::new(), serde_json::to_value(&order.input)),
            Some(items) => {
                let input = BatchInput {
                    batch_size: items.batch_size,
                    picture: order.input,
                };
                (items.prompts, serde_json::to_value(input))
            }
        };
        Ok(NewJob {
            id,
            user_id: user.id,
            queue: route(&order.job_type).queue.to_owned(),
            r#type: order.job_type,
            provider: order.provider.to_owned(),
            model,
            prompt: order.prompt,
            prompts,
            input: input.map_err(|error| RequestError::InvalidOption(error.to_string()))?,
            metadata: Value::Object(metadata),
            warnings: json!(warnings),
            cost,
            deadline_ms: i64::try_from(self.settings.jobs.deadline_ms).unwrap_or(i64::MAX),
            request_id: origin.request_id,
            correlation_id: origin.correlation_id,
        })
    }
}

/// What a wanted picture is for the worker, and the pictures that were given with it.
pub(super) fn of_image(wanted: WantedImage, model: &str) -> (Input, Given) {
    let mut options = wanted.options;
    let given = references::sources(wanted.image_base64, wanted.references, &mut options);
    let input = Input {
        prompt: wanted.prompt,
        model: model.to_owned(),
        options,
        avatar_id: wanted.avatar_id,
        avatar_image_id: wanted.avatar_image_id,
        product_id: wanted.product_id,
        style_id: wanted.style_id,
        ..Input::default()
    };
    (input, Given::Pictures(given))
}

/// What the provider says to the order: to each prompt of a batch by itself.
fn check(order: &Order, provider: &dyn Provider) -> Result<Checked, RequestError> {
    let references = order.given.len();
    let Some(items) = &order.items else {
        let mut checked = provider.check(&order.input, references)?;
        checked.warnings.truncate(MAX_WARNINGS);
        return Ok(checked);
    };
    let mut sum = Checked {
        outputs: 0,
        warnings: Vec::new(),
    };
    let mut input = order.input.clone();
    for (index, prompt) in items.prompts.iter().enumerate() {
        input.prompt.clone_from(prompt);
        let checked = provider
            .check(&input, references)
            .map_err(|error| match error {
                RequestError::InvalidOption(text) if index > 0 => {
                    RequestError::InvalidOption(format!("prompts.{index}: {text}"))
                }
                other => other,
            })?;
        if checked.outputs != 1 {
            return Err(RequestError::InvalidOption(
                "A batch makes one picture of each prompt; num_images must be 1.".to_owned(),
            ));
        }
        sum.outputs = sum.outputs.saturating_add(1);
        for warning in checked.warnings {
            if sum.warnings.len() < MAX_WARNINGS && !sum.warnings.contains(&warning) {
                sum.warnings.push(warning);
            }
        }
    }
    Ok(sum)
}
