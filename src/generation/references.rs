//! Reference images on their way in: decoded, looked at, and put into the bucket under `inputs/`.
//! User-given addresses are fetched here through the guarded fetcher; no provider ever sees them.

mod decode;

use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use sea_orm::{DatabaseConnection, prelude::Uuid};
use serde_json::{Map, Value};

use self::decode::decode_beside;
use super::{
    RequestError,
    pipeline::Pipeline,
    provider::{GivenPicture, Provider, ReferenceForm},
    request::StoredReference,
};
use crate::{
    jobs::JobError,
    models::{object_deletions, r2_files},
    net::{Hosts, NetError, Policy},
    settings::{self, Settings},
    storage::{Folder, ImageKind, IntakeError, ObjectKey, Received, Share, Storage, StorageError},
};

/// Time a user's address may take to give its image.
const FETCH_LIMIT: Duration = Duration::from_secs(20);
/// Milliseconds beyond the job's deadline after which its inputs go in any case.
const LEFTOVER_GRACE_MS: i64 = 600_000;

/// Largest sum of all references of a request, bytes.
const MAX_TOTAL_BYTES: u64 = 64 * 1024 * 1024;

/// Provider options that hold an image rather than a setting.
const IMAGE_OPTIONS: [&str; 9] = [
    "image_prompt",
    "input_image",
    "input_image_2",
    "input_image_3",
    "input_image_4",
    "input_image_5",
    "input_image_6",
    "input_image_7",
    "input_image_8",
];

/// Options that hold pictures somewhere inside, beside settings such as their weights.
const NESTED_IMAGE_OPTIONS: [&str; 4] = [
    "image_ref",
    "style_ref",
    "character_ref",
    "modify_image_ref",
];
/// How an option refers to a picture that was taken out of it: this and its place among all.
const PLACE_PREFIX: &str = "reference:";

/// An image with its real type.
#[derive(Debug, Clone)]
pub struct ReferenceImage {
    pub bytes: Bytes,
    pub kind: ImageKind,
    /// Width and height, pixels.
    pub sides: (u32, u32),
}

impl ReferenceImage {
    /// What its provider judges before admission.
    #[must_use]
    pub fn given(&self) -> GivenPicture {
        GivenPicture {
            kind: self.kind,
            sides: self.sides,
            size_bytes: u64::try_from(self.bytes.len()).unwrap_or(u64::MAX),
        }
    }
}

/// Looks at the given pictures of a request one after the other, with the limits of one and of all.
struct Inspection<'a> {
    limits: &'a settings::Generation,
    total: u64,
}

impl<'a> Inspection<'a> {
    fn of(count: usize, limits: &'a settings::Generation) -> Result<Self, RequestError> {
        if count > limits.max_references {
            return Err(RequestError::InvalidReference(format!(
                "At most {} reference images can be given.",
                limits.max_references
            )));
        }
        Ok(Self { limits, total: 0 })
    }

    fn look(&mut self, name: &str, bytes: Bytes) -> Result<ReferenceImage, RequestError> {
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if size > self.limits.max_reference_bytes {
            return Err(RequestError::InvalidReference(format!(
                "{name} must not be larger than {} MB.",
                self.limits.max_reference_bytes / 1024 / 1024
            )));
        }
        self.total = self.total.saturating_add(size);
        if self.total > MAX_TOTAL_BYTES {
            return Err(RequestError::InvalidReference(format!(
                "All references together must not be larger than {} MB.",
                MAX_TOTAL_BYTES / 1024 / 1024
            )));
        }
        let (kind, sides) = ImageKind::with_sides(&bytes).ok_or_else(|| {
            RequestError::InvalidReference(format!(
                "{name} must be a PNG, JPEG, WebP or GIF picture."
            ))
        })?;
        Ok(ReferenceImage { bytes, kind, sides })
    }
}

/// Everything in a request that is an image, in the providers' order: `imageBase64`, `references`,
/// then images among the options, which are taken out of them. Inside an option that says more of
/// its pictures than that they are there, each leaves its place (see [`place_of`]).
#[must_use]
pub fn sources(
    image_base64: Option<String>,
    references: Vec<String>,
    options: &mut Map<String, Value>,
) -> Vec<(String, String)> {
    let mut sources = Vec::new();
    if let Some(text) = image_base64 {
        sources.push(("imageBase64".to_owned(), text));
    }
    for (index, text) in references.into_iter().enumerate() {
        sources.push((format!("references.{index}"), text));
    }
    for name in IMAGE_OPTIONS {
        if let Some(Value::String(text)) = options.remove(name)
            && !text.is_empty()
        {
            sources.push((name.to_owned(), text));
        }
    }
    for name in NESTED_IMAGE_OPTIONS {
        if let Some(value) = options.get_mut(name) {
            take_nested(name, value, &mut sources);
        }
    }
    sources
}

/// Takes every picture out of an option's value and leaves its place among `sources` instead.
fn take_nested(name: &str, value: &mut Value, sources: &mut Vec<(String, String)>) {
    match value {
        Value::String(text) => {
            if ["http://", "https://", "data:"]
                .iter()
                .any(|scheme| text.starts_with(scheme))
            {
                let place = format!("{PLACE_PREFIX}{}", sources.len());
                sources.push((name.to_owned(), std::mem::replace(text, place)));
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                take_nested(&format!("{name}.{index}"), item, sources);
            }
        }
        Value::Object(fields) => {
            for (field, item) in fields {
                take_nested(&format!("{name}.{field}"), item, sources);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The place among all given pictures of the one that an option refers to.
#[must_use]
pub fn place_of(text: &str) -> Option<usize> {
    text.strip_prefix(PLACE_PREFIX)?.parse().ok()
}

/// A given picture on its way to its inspection.
enum Source {
    Decoded(Bytes),
    /// Fetched, and not in memory yet.
    Received(Received),
}

/// Why an address brought no picture.
#[derive(Debug, thiserror::Error)]
enum FetchFault {
    #[error(transparent)]
    Net(#[from] NetError),
    #[error(transparent)]
    Intake(#[from] IntakeError),
}

/// Checks that each of these is a picture.
///
/// # Errors
/// [`RequestError::InvalidReference`] naming the first that is none.
pub(super) fn inspect(
    given: Vec<(String, Bytes)>,
    settings: &Settings,
) -> Result<Vec<ReferenceImage>, RequestError> {
    let mut inspection = Inspection::of(given.len(), &settings.generation)?;
    given
        .into_iter()
        .map(|(name, bytes)| inspection.look(&name, bytes))
        .collect()
}

impl Pipeline {
    /// A provider that takes addresses of pictures must be able to reach our bucket.
    ///
    /// # Errors
    /// [`RequestError::InvalidReference`].
    pub(super) fn check_reach(&self, provider: &dyn Provider) -> Result<(), RequestError> {
        let is_remote = provider.reference_form() == ReferenceForm::Address { is_local: false };
        if is_remote && self.storage.is_loopback() {
            return Err(RequestError::InvalidReference(
                "This model fetches reference images, and this server's file store cannot be reached \
                 from outside. Please use it without reference images or choose another model."
                    .to_owned(),
            ));
        }
        Ok(())
    }

    /// Decodes or fetches the given pictures and checks that they are some. With `own_files`, an address
    /// of a live file of this user is read from the bucket. The share of the memory is to be kept for as
    /// long as the pictures are.
    ///
    /// # Errors
    /// [`RequestError::InvalidReference`] naming the first that cannot be used.
    pub(super) async fn pictures(
        &self,
        user_id: Uuid,
        given: Vec<(String, String)>,
        own_files: bool,
    ) -> Result<(Vec<ReferenceImage>, Share), RequestError> {
        let mut inspection = Inspection::of(given.len(), &self.settings.generation)?;
        let mut sources = Vec::with_capacity(given.len());
        let mut fetched_bytes = 0_u64;
        for (name, text) in given {
            let source = if !is_address(&text) {
                Source::Decoded(decode_beside(&name, text).await?)
            } else {
                let own = match own_files {
                    true => self.own_file(user_id, &text).await?,
                    false => None,
                };
                let received = match own {
                    Some(received) => received,
                    None => self.fetch_picture(&name, &text).await?,
                };
                fetched_bytes = fetched_bytes.saturating_add(received.size());
                Source::Received(received)
            };
            sources.push((name, source));
        }
        // All at once and after the last byte came: nobody who holds a share waits for another or for a
        // slow server.
        let share = self.intake.share(fetched_bytes).await?;
        let mut images = Vec::with_capacity(sources.len());
        for (name, source) in sources {
            let bytes = match source {
                Source::Decoded(bytes) => bytes,
                Source::Received(received) => received.read().await?,
            };
            images.push(inspection.look(&name, bytes)?);
        }
        Ok((images, share))
    }

    async fn own_file(
        &self,
        user_id: Uuid,
        address: &str,
    ) -> Result<Option<Received>, RequestError> {
        let Some(key) = self.storage.key_at(address) else {
            return Ok(None);
        };
        let is_theirs = r2_files::Entity::is_live(&self.db, user_id, key.as_str())
            .await
            .map_err(JobError::from)?;
        if !is_theirs {
            return Ok(None);
        }
        let limit = self.settings.generation.max_reference_bytes;
        match self.storage.receive(&key, &self.intake, limit).await {
            Ok(received) => Ok(Some(received)),
            Err(StorageError::NotFound) => Ok(None),
            Err(StorageError::Intake(IntakeError::TooLarge)) => Err(
                RequestError::InvalidReference("One of your own files is too large.".to_owned()),
            ),
            Err(error) => Err(error.into()),
        }
    }

    async fn fetch_picture(&self, name: &str, url: &str) -> Result<Received, RequestError> {
        let limits = &self.settings.generation;
        let mut policy = Policy::new(Hosts::AnyPublic, limits.max_reference_bytes, FETCH_LIMIT);
        policy.allow_loopback = limits.loopback_references;
        let received = async {
            let opened = self.fetcher.open(url, &policy).await?;
            let mut body = opened.body.map_err(FetchFault::Net);
            self.intake.receive(&mut body, policy.max_bytes).await
        };
        let reason = match received.await {
            Ok(received) => return Ok(received),
            Err(FetchFault::Intake(error @ (IntakeError::Busy | IntakeError::Disk(_)))) => {
                return Err(error.into());
            }
            Err(FetchFault::Net(NetError::InvalidUrl | NetError::Forbidden { .. })) => {
                "must be a public https address"
            }
            Err(
                FetchFault::Net(NetError::TooLarge { .. })
                | FetchFault::Intake(IntakeError::TooLarge),
            ) => "is too large",
            Err(FetchFault::Net(_)) => "could not be downloaded",
        };
        Err(RequestError::InvalidReference(format!("{name} {reason}.")))
    }
}

fn is_address(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

/// Stores the images under `inputs/` and notes them for deletion in case their job never comes to be.
///
/// # Errors
/// When storage or database fail.
pub async fn store(
    images: Vec<ReferenceImage>,
    user_id: Uuid,
    job_id: Uuid,
    db: &DatabaseConnection,
    storage: &Storage,
    settings: &Settings,
) -> Result<Vec<StoredReference>, RequestError> {
    let prefix = ObjectKey::job_prefix(Folder::Inputs, user_id, job_id);
    let deadline_ms = i64::try_from(settings.jobs.deadline_ms).unwrap_or(i64::MAX);
    object_deletions::Entity::schedule(
        db,
        &prefix,
        true,
        deadline_ms.saturating_add(LEFTOVER_GRACE_MS),
    )
    .await
    .map_err(JobError::from)?;
    let mut stored = Vec::with_capacity(images.len());
    for (index, image) in images.into_iter().enumerate() {
        let n = index.saturating_add(1);
        let key = ObjectKey::of_job(Folder::Inputs, user_id, job_id, n, image.kind.extension());
        let size = u64::try_from(image.bytes.len()).unwrap_or(u64::MAX);
        storage.put(&key, image.bytes, image.kind.mime()).await?;
        stored.push(StoredReference {
            key: key.as_str().to_owned(),
            mime_type: image.kind.mime().to_owned(),
            size,
        });
    }
    Ok(stored)
}
