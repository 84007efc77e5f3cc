//! Reference images on their way in: decoded, looked at, and put into the bucket under `inputs/`.
//! User-given addresses are fetched here through the guarded fetcher; no provider ever sees them.

use std::time::Duration;

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;
use sea_orm::{DatabaseConnection, prelude::Uuid};
use serde_json::{Map, Value};

use super::{RequestError, pipeline::Pipeline, request::StoredReference};
use crate::{
    jobs::JobError,
    models::{object_deletions, r2_files},
    net::{GuardedFetcher, Hosts, NetError, Policy},
    settings::{self, Settings},
    storage::{Folder, ImageKind, ObjectKey, Storage, StorageError},
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

const PERMISSIVE: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, PERMISSIVE);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, PERMISSIVE);

/// An image with its real type.
#[derive(Debug, Clone)]
pub struct ReferenceImage {
    pub bytes: Bytes,
    pub kind: ImageKind,
    /// Width and height, pixels.
    pub sides: (u32, u32),
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
/// then images among the options, which are taken out of them.
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
    sources
}

/// Decodes or fetches every source and checks that it is a picture.
///
/// # Errors
/// [`RequestError::InvalidReference`] naming the first that cannot be used.
pub async fn load(
    sources: Vec<(String, String)>,
    fetcher: &GuardedFetcher,
    settings: &Settings,
) -> Result<Vec<ReferenceImage>, RequestError> {
    let limits = &settings.generation;
    let mut inspection = Inspection::of(sources.len(), limits)?;
    let mut images = Vec::with_capacity(sources.len());
    for (name, text) in sources {
        let bytes = if text.starts_with("http://") || text.starts_with("https://") {
            fetch(&name, &text, fetcher, limits).await?
        } else {
            decode(&name, &text)?
        };
        images.push(inspection.look(&name, bytes)?);
    }
    Ok(images)
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
    /// The pictures at addresses: a live file of this user is read from the bucket, everything else
    /// through the guarded fetcher.
    ///
    /// # Errors
    /// [`RequestError::InvalidReference`] naming the first that cannot be used.
    pub(super) async fn pictures_at(
        &self,
        user_id: Uuid,
        addresses: Vec<(String, String)>,
    ) -> Result<Vec<ReferenceImage>, RequestError> {
        let limits = &self.settings.generation;
        let mut inspection = Inspection::of(addresses.len(), limits)?;
        let mut images = Vec::with_capacity(addresses.len());
        for (name, address) in addresses {
            let bytes = match self.own_file(user_id, &address).await? {
                Some(bytes) => bytes,
                None => fetch(&name, &address, &self.fetcher, limits).await?,
            };
            images.push(inspection.look(&name, bytes)?);
        }
        Ok(images)
    }

    async fn own_file(&self, user_id: Uuid, address: &str) -> Result<Option<Bytes>, RequestError> {
        let Some(key) = self.storage.key_at(address) else {
            return Ok(None);
        };
        let is_theirs = r2_files::Entity::is_live(&self.db, user_id, key.as_str())
            .await
            .map_err(JobError::from)?;
        if !is_theirs {
            return Ok(None);
        }
        match self.storage.read(&key).await {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(StorageError::NotFound) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

fn decode(name: &str, text: &str) -> Result<Bytes, RequestError> {
    let invalid = || RequestError::InvalidReference(format!("{name} must be valid base64."));
    let encoded = match text.strip_prefix("data:") {
        None => text,
        Some(rest) => {
            let (head, data) = rest.split_once(',').ok_or_else(invalid)?;
            if !head.to_ascii_lowercase().ends_with(";base64") {
                return Err(invalid());
            }
            data
        }
    };
    let encoded = encoded.trim();
    if encoded.is_empty() {
        return Err(invalid());
    }
    let engine = if encoded.contains(['-', '_']) {
        &URL_SAFE
    } else {
        &STANDARD
    };
    engine
        .decode(encoded)
        .map(Bytes::from)
        .map_err(|_| invalid())
}

async fn fetch(
    name: &str,
    url: &str,
    fetcher: &GuardedFetcher,
    limits: &settings::Generation,
) -> Result<Bytes, RequestError> {
    let mut policy = Policy::new(Hosts::AnyPublic, limits.max_reference_bytes, FETCH_LIMIT);
    policy.allow_loopback = limits.loopback_references;
    let reason = match fetcher.fetch(url, &policy).await {
        Ok(fetched) => return Ok(fetched.bytes),
        Err(NetError::InvalidUrl | NetError::Forbidden { .. }) => "must be a public https address",
        Err(NetError::TooLarge { .. }) => "is too large",
        Err(_) => "could not be downloaded",
    };
    Err(RequestError::InvalidReference(format!("{name} {reason}.")))
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
        storage.put(&key, image.bytes, image.kind.mime()).await?;
        stored.push(StoredReference {
            key: key.as_str().to_owned(),
            mime_type: image.kind.mime().to_owned(),
        });
    }
    Ok(stored)
}
