//! The S3 client: R2, any S3, or the embedded one. Every call has a time limit and bounded retries.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use aws_sdk_s3::{
    Client, Config,
    config::{
        BehaviorVersion, Credentials, Region, RequestChecksumCalculation,
        ResponseChecksumValidation, retry::RetryConfig, timeout::TimeoutConfig,
    },
    error::{DisplayErrorContext, SdkError},
    presigning::PresigningConfig,
    primitives::ByteStream,
};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use futures_util::TryStreamExt;
use loco_rs::app::AppContext;
use tokio_util::io::ReaderStream;
use url::Url;

use super::{Intake, ObjectKey, Received, StorageError};
use crate::settings;

/// Browsers may keep objects for a year: a key's content never changes (platform contract 6.2).
pub(super) const CACHE_CONTROL: &str = "public, max-age=31536000";

/// An object on its way out.
#[derive(Debug)]
pub struct Fetched {
    pub body: ByteStream,
    pub content_type: Option<String>,
    pub content_length: Option<i64>,
    /// Set when only a part was asked for.
    pub content_range: Option<String>,
    pub etag: Option<String>,
}

/// The bucket.
pub struct Storage {
    client: Client,
    bucket: String,
    public_base: RwLock<String>,
    is_loopback: bool,
}

impl Storage {
    /// A client for the configured endpoint. `fallback_base` is the public base of the embedded S3.
    ///
    /// # Errors
    /// When credentials or endpoint are missing.
    pub fn new(storage: &settings::Storage, fallback_base: &str) -> Result<Self, StorageError> {
        let (Some(id), Some(secret)) = (&storage.access_key_id, &storage.secret_access_key) else {
            return Err(StorageError::Unavailable(
                "no credentials are set".to_owned(),
            ));
        };
        let endpoint = match (&storage.endpoint, &storage.account_id) {
            (Some(endpoint), _) => endpoint.clone(),
            (None, Some(account)) => format!("https://{account}.r2.cloudflarestorage.com"),
            (None, None) => {
                return Err(StorageError::Unavailable("no endpoint is set".to_owned()));
            }
        };
        let limit = Duration::from_millis(storage.timeout_ms);
        let is_loopback = Url::parse(&endpoint).is_ok_and(|url| settings::is_loopback(&url));
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .build_https();
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("auto"))
            .endpoint_url(endpoint)
            .credentials_provider(Credentials::new(
                id,
                secret.expose(),
                None,
                None,
                "settings",
            ))
            .force_path_style(true)
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .retry_config(RetryConfig::standard().with_max_attempts(storage.attempts.max(1)))
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(Duration::from_secs(5))
                    .operation_attempt_timeout(limit)
                    .operation_timeout(limit.saturating_mul(2))
                    .build(),
            )
            .http_client(http)
            .build();
        let base = storage.public_url.as_deref().unwrap_or(fallback_base);
        Ok(Self {
            client: Client::from_conf(config),
            bucket: storage.bucket.clone(),
            public_base: RwLock::new(base.trim_end_matches('/').to_owned()),
            is_loopback,
        })
    }

    /// The client that boot put into the context.
    ///
    /// # Errors
    /// When the context was not made by this application's hooks.
    pub fn of(ctx: &AppContext) -> loco_rs::Result<Arc<Self>> {
        ctx.shared_store
            .get::<Arc<Self>>()
            .ok_or_else(|| loco_rs::Error::string("the storage client is missing from the context"))
    }

    /// Whether only this machine can fetch from it: signed addresses are of no use elsewhere.
    #[must_use]
    pub const fn is_loopback(&self) -> bool {
        self.is_loopback
    }

    /// Sets the public base once the listener's real port is known.
    pub fn set_public_base(&self, base: &str) {
        let mut current = self
            .public_base
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        base.trim_end_matches('/').clone_into(&mut current);
    }

    /// The public address of a key: stable, without query.
    #[must_use]
    pub fn public_url(&self, key: &str) -> String {
        let base = self
            .public_base
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        format!("{base}/{key}")
    }

    /// The key behind a public address of ours.
    #[must_use]
    pub fn key_at(&self, address: &str) -> Option<ObjectKey> {
        let base = self
            .public_base
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let key = address.strip_prefix(base.as_str())?.strip_prefix('/')?;
        ObjectKey::parse(key).ok()
    }

    /// The client and the bucket's name.
    pub(super) fn parts_of(&self) -> (&Client, &str) {
        (&self.client, &self.bucket)
    }

    /// Stores an object, overwriting one of the same key.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`].
    pub async fn put(
        &self,
        key: &ObjectKey,
        bytes: impl Into<ByteStream>,
        content_type: &str,
    ) -> Result<(), StorageError> {
        self.client
            .put_object()
            .bucket(&self.bucket)
            .key(key.as_str())
            .content_type(content_type)
            .cache_control(CACHE_CONTROL)
            .body(bytes.into())
            .send()
            .await
            .map_err(|error| unavailable(&error))?;
        Ok(())
    }

    /// Opens an object, or the `range` of it that an HTTP range header names.
    ///
    /// # Errors
    /// [`StorageError::NotFound`], [`StorageError::Unavailable`].
    pub async fn get(&self, key: &ObjectKey, range: Option<&str>) -> Result<Fetched, StorageError> {
        let answer = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(key.as_str())
            .set_range(range.map(ToOwned::to_owned))
            .send()
            .await
            .map_err(|error| {
                let is_missing = error
                    .as_service_error()
                    .is_some_and(aws_sdk_s3::operation::get_object::GetObjectError::is_no_such_key);
                let status = error.raw_response().map(|raw| raw.status().as_u16());
                if status == Some(416) {
                    StorageError::RangeNotSatisfiable
                } else if is_missing {
                    StorageError::NotFound
                } else {
                    unavailable(&error)
                }
            })?;
        Ok(Fetched {
            content_type: answer.content_type().map(ToOwned::to_owned),
            content_length: answer.content_length(),
            content_range: answer.content_range().map(ToOwned::to_owned),
            etag: answer.e_tag().map(ToOwned::to_owned),
            body: answer.body,
        })
    }

    /// Reads a whole object that is known to be small.
    ///
    /// # Errors
    /// [`StorageError::NotFound`], [`StorageError::Unavailable`].
    pub async fn read(&self, key: &ObjectKey) -> Result<Vec<u8>, StorageError> {
        let fetched = self.get(key, None).await?;
        let bytes = fetched
            .body
            .collect()
            .await
            .map_err(|error| StorageError::Unavailable(error.to_string()))?;
        Ok(bytes.into_bytes().to_vec())
    }

    /// Reads an object of at most `limit` bytes as a body on its way in.
    ///
    /// # Errors
    /// [`StorageError`].
    pub async fn receive(
        &self,
        key: &ObjectKey,
        intake: &Intake,
        limit: u64,
    ) -> Result<Received, StorageError> {
        let fetched = self.get(key, None).await?;
        let mut body = ReaderStream::new(fetched.body.into_async_read())
            .map_err(|error| StorageError::Unavailable(error.to_string()));
        intake.receive(&mut body, limit).await
    }

    /// Deletes an object; one that is not there counts as deleted.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`].
    pub async fn delete(&self, key: &str) -> Result<(), StorageError> {
        let outcome = self
            .client
            .delete_object()
            .bucket(&self.bucket)
            .key(key)
            .send()
            .await;
        match outcome {
            Ok(_) => Ok(()),
            Err(SdkError::ServiceError(error)) if error.raw().status().as_u16() == 404 => Ok(()),
            Err(error) => Err(unavailable(&error)),
        }
    }

    /// Lists the keys that begin with `prefix`.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`].
    pub async fn list(&self, prefix: &str) -> Result<Vec<String>, StorageError> {
        let mut keys = Vec::new();
        let mut pages = self
            .client
            .list_objects_v2()
            .bucket(&self.bucket)
            .prefix(prefix)
            .into_paginator()
            .send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| unavailable(&error))?;
            keys.extend(
                page.contents()
                    .iter()
                    .filter_map(|object| object.key().map(ToOwned::to_owned)),
            );
        }
        Ok(keys)
    }

    /// A GET address that works for `expires_in` without credentials.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`] when it cannot be signed.
    pub async fn presign_get(
        &self,
        key: &ObjectKey,
        expires_in: Duration,
    ) -> Result<String, StorageError> {
        let config = PresigningConfig::expires_in(expires_in)
            .map_err(|error| StorageError::Unavailable(error.to_string()))?;
        let request = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(key.as_str())
            .presigned(config)
            .await
            .map_err(|error| unavailable(&error))?;
        Ok(request.uri().to_owned())
    }
}

pub(super) fn unavailable<E: std::error::Error>(error: &E) -> StorageError {
    StorageError::Unavailable(DisplayErrorContext(error).to_string())
}
