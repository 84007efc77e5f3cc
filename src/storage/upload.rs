//! Objects that are stored while they arrive: at most one part of them is in memory.

use aws_sdk_s3::{
    Client,
    types::{CompletedMultipartUpload, CompletedPart},
};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;

use super::{ObjectKey, Storage, StorageError, client::CACHE_CONTROL, client::unavailable};
use crate::net::{BodyStream, NetError};

/// Size of a part, bytes; all but the last must have the same (R2), and at least 5 MiB (S3).
pub const PART_BYTES: usize = 8 * 1024 * 1024;

/// Why a body did not become an object.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The body did not come whole.
    #[error(transparent)]
    Body(#[from] NetError),
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// A body that is read part by part.
pub struct Parts<'a> {
    body: &'a mut BodyStream,
    // What came beyond the last part.
    rest: BytesMut,
}

impl<'a> Parts<'a> {
    /// Reads `body` from where it stands.
    #[must_use]
    pub fn new(body: &'a mut BodyStream) -> Self {
        let rest = BytesMut::new();
        Self { body, rest }
    }

    /// The next [`PART_BYTES`] bytes, fewer at the end, and none after it.
    ///
    /// # Errors
    /// Those of the body.
    pub async fn next(&mut self) -> Result<Bytes, NetError> {
        while self.rest.len() < PART_BYTES {
            let Some(chunk) = self.body.next().await else {
                return Ok(self.rest.split().freeze());
            };
            self.rest.extend_from_slice(&chunk?);
        }
        let part = self.rest.split_to(PART_BYTES).freeze();
        // Otherwise what is left would keep the memory of the part.
        self.rest = BytesMut::from(&self.rest[..]);
        Ok(part)
    }
}

impl Storage {
    /// Stores a body whose first part was read already, and gives its size in bytes. Nothing is left of
    /// one that does not come whole.
    ///
    /// # Errors
    /// [`UploadError`].
    pub async fn put_parts(
        &self,
        key: &ObjectKey,
        first: Bytes,
        mut parts: Parts<'_>,
        content_type: &str,
    ) -> Result<u64, UploadError> {
        let mut size = length(&first);
        if first.len() < PART_BYTES {
            self.put(key, first, content_type).await?;
            return Ok(size);
        }
        let mut upload = self.begin_upload(key, content_type).await?;
        let mut part = first;
        while !part.is_empty() {
            upload.add(part).await?;
            part = parts.next().await?;
            size = size.saturating_add(length(&part));
        }
        upload.complete().await?;
        Ok(size)
    }

    async fn begin_upload(
        &self,
        key: &ObjectKey,
        content_type: &str,
    ) -> Result<Upload, StorageError> {
        let (client, bucket) = self.parts_of();
        let answer = client
            .create_multipart_upload()
            .bucket(bucket)
            .key(key.as_str())
            .content_type(content_type)
            .cache_control(CACHE_CONTROL)
            .send()
            .await
            .map_err(|error| unavailable(&error))?;
        let id = answer
            .upload_id
            .ok_or_else(|| StorageError::Unavailable("an upload was begun without an id".into()))?;
        Ok(Upload {
            client: client.clone(),
            bucket: bucket.to_owned(),
            key: key.as_str().to_owned(),
            id,
            parts: Vec::new(),
            is_complete: false,
        })
    }

    /// Ends uploads under `prefix` that a process left behind when it died; stored parts cost money.
    /// Services that cannot list uploads forget them by themselves after some days.
    pub async fn abort_uploads(&self, prefix: &str) {
        let (client, bucket) = self.parts_of();
        let listed = client
            .list_multipart_uploads()
            .bucket(bucket)
            .prefix(prefix)
            .send()
            .await;
        let uploads = match listed {
            Ok(listed) => listed.uploads.unwrap_or_default(),
            Err(error) => {
                tracing::debug!(error = %unavailable(&error), "unfinished uploads could not be listed");
                return;
            }
        };
        for upload in uploads {
            if let (Some(key), Some(id)) = (upload.key, upload.upload_id) {
                abort(client, bucket, &key, &id).await;
            }
        }
    }
}

/// An object in the making. Dropped before it is complete, its parts are thrown away.
struct Upload {
    client: Client,
    bucket: String,
    key: String,
    id: String,
    parts: Vec<CompletedPart>,
    is_complete: bool,
}

impl Upload {
    async fn add(&mut self, part: Bytes) -> Result<(), StorageError> {
        let number = i32::try_from(self.parts.len())
            .unwrap_or(i32::MAX)
            .saturating_add(1);
        let answer = self
            .client
            .upload_part()
            .bucket(&self.bucket)
            .key(&self.key)
            .upload_id(&self.id)
            .part_number(number)
            .body(part.into())
            .send()
            .await
            .map_err(|error| unavailable(&error))?;
        self.parts.push(
            CompletedPart::builder()
                .part_number(number)
                .set_e_tag(answer.e_tag)
                .build(),
        );
        Ok(())
    }

    async fn complete(mut self) -> Result<(), StorageError> {
        let parts = CompletedMultipartUpload::builder()
            .set_parts(Some(std::mem::take(&mut self.parts)))
            .build();
        self.client
            .complete_multipart_upload()
            .bucket(&self.bucket)
            .key(&self.key)
            .upload_id(&self.id)
            .multipart_upload(parts)
            .send()
            .await
            .map_err(|error| unavailable(&error))?;
        self.is_complete = true;
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if self.is_complete {
            return;
        }
        let (client, bucket) = (self.client.clone(), std::mem::take(&mut self.bucket));
        let (key, id) = (std::mem::take(&mut self.key), std::mem::take(&mut self.id));
        // A step that is cut short has nobody left to wait for this.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { abort(&client, &bucket, &key, &id).await });
        }
    }
}

async fn abort(client: &Client, bucket: &str, key: &str, id: &str) {
    let outcome = client
        .abort_multipart_upload()
        .bucket(bucket)
        .key(key)
        .upload_id(id)
        .send()
        .await;
    if let Err(error) = outcome {
        tracing::warn!(
            object.key = key,
            error = %unavailable(&error),
            "the parts of an unfinished upload could not be thrown away"
        );
    }
}

fn length(bytes: &Bytes) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
