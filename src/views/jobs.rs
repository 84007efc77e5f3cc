//! Jobs as their owner sees them (generation contract 5.2, 5.3, 8.2).

use sea_orm::prelude::Uuid;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::timestamp;
use crate::models::{
    job_items::public_outcome,
    jobs::{JobPage, JobView as Job},
};

/// An admitted job.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobCreatedView {
    pub job_id: Uuid,
    /// The job itself, for a caller who waited for its end and saw it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<JobDetailView>,
}

impl JobCreatedView {
    /// The body as it is sent and, with an idempotency key, stored.
    #[must_use]
    pub fn to_json(&self) -> String {
        json!(self).to_string()
    }
}

/// `GET /api/jobs/:jobId`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobDetailView {
    pub id: Uuid,
    pub status: String,
    pub progress: i16,
    pub result_url: Option<String>,
    pub error: Option<String>,
    pub created_at: String,
    pub completed_at: Option<String>,
    pub metadata: Value,
}

/// The picture of an inline generation. It names no job: the client would wait for it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InlineImageView {
    pub data_url: String,
    /// Every picture, when there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub data_urls: Vec<String>,
    pub content_type: Value,
    pub r2_file_id: Value,
    pub r2_file_url: String,
    pub image_url: String,
    pub url: String,
    pub remote_url: String,
    pub mime_type: Value,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Value>,
}

impl InlineImageView {
    /// The view of a completed job; `None` when it has no file.
    #[must_use]
    pub fn new(job: &Job, public_url: impl Fn(&str) -> String) -> Option<Self> {
        let files = job.result.as_ref()?.get("files")?.as_array()?;
        let urls: Vec<String> = files
            .iter()
            .filter_map(|file| Some(public_url(file.get("key")?.as_str()?)))
            .collect();
        let (first, url) = (files.first()?, urls.first()?.clone());
        let mime_type = first.get("mimeType").cloned().unwrap_or_default();
        Some(Self {
            data_url: url.clone(),
            data_urls: if urls.len() > 1 { urls } else { Vec::new() },
            content_type: mime_type.clone(),
            r2_file_id: first.get("id").cloned().unwrap_or_default(),
            r2_file_url: url.clone(),
            image_url: url.clone(),
            remote_url: url.clone(),
            url,
            mime_type,
            warnings: job.warnings.as_array().cloned().unwrap_or_default(),
        })
    }

    /// The body as it is sent.
    #[must_use]
    pub fn to_json(&self) -> String {
        json!(self).to_string()
    }
}

/// One row of `GET /api/jobs`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobRowView {
    pub id: Uuid,
    #[serde(rename = "type")]
    pub job_type: String,
    pub status: String,
    pub progress: i16,
    pub result_url: Option<String>,
    pub error: Option<String>,
    pub created_at: String,
    pub completed_at: Option<String>,
}

/// `GET /api/jobs`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobPageView {
    pub jobs: Vec<JobRowView>,
    pub next_cursor: Option<Uuid>,
    pub has_next_page: bool,
}

impl JobDetailView {
    /// The view of a job; `public_url` makes an address of an object key.
    #[must_use]
    pub fn new(job: Job, public_url: impl Fn(&str) -> String) -> Self {
        let metadata = metadata(&job, &public_url);
        Self {
            id: job.id,
            status: job.status,
            progress: job.progress,
            result_url: job.result_key.as_deref().map(public_url),
            error: job.error,
            created_at: timestamp(&job.created_at),
            completed_at: job.completed_at.as_ref().map(timestamp),
            metadata,
        }
    }
}

/// What was asked for, how far it is, and the stored files, with the names that the client reads.
fn metadata(job: &Job, public_url: &impl Fn(&str) -> String) -> Value {
    let mut metadata = match &job.metadata {
        Value::Object(map) => map.clone(),
        _ => Map::new(),
    };
    metadata.retain(|_, value| !value.is_null());
    if job.prompt.is_some() {
        metadata.insert("prompt".into(), json!(job.prompt));
    }
    metadata.insert("model".into(), json!(job.model));
    metadata.insert("provider".into(), json!(job.provider));
    metadata.insert("stage".into(), json!(job.stage));
    if job
        .warnings
        .as_array()
        .is_some_and(|warnings| !warnings.is_empty())
    {
        metadata.insert("warnings".into(), job.warnings.clone());
    }
    let files = job
        .result
        .as_ref()
        .and_then(|result| result.get("files"))
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    if let Some(first) = files.first() {
        let key = first.get("key").and_then(Value::as_str).unwrap_or_default();
        metadata.insert(
            "r2FileId".into(),
            first.get("id").cloned().unwrap_or_default(),
        );
        metadata.insert("fileUrl".into(), public_url(key).into());
        metadata.insert(
            "mimeType".into(),
            first.get("mimeType").cloned().unwrap_or_default(),
        );
        if let Some(name) = own_name(&job.job_type) {
            metadata.insert(name.into(), public_url(key).into());
        }
    }
    if files.len() > 1 {
        let urls: Vec<String> = files
            .iter()
            .filter_map(|file| file.get("key").and_then(Value::as_str))
            .map(public_url)
            .collect();
        metadata.insert("results".into(), json!(urls));
    }
    if let Some(result) = &job.result {
        metadata.extend(public_outcome(result, public_url));
    }
    Value::Object(metadata)
}

/// The name that clients know the result of a job type by, beside `fileUrl`.
fn own_name(job_type: &str) -> Option<&'static str> {
    match job_type {
        "VIDEO_GENERATION" => Some("videoUrl"),
        "IMAGE_UPSCALE" => Some("upscaledUrl"),
        _ => None,
    }
}

impl JobPageView {
    /// The view of a page.
    #[must_use]
    pub fn new(page: JobPage, public_url: impl Fn(&str) -> String) -> Self {
        let next_cursor = page.jobs.last().filter(|_| page.has_next).map(|job| job.id);
        Self {
            jobs: page
                .jobs
                .into_iter()
                .map(|job| JobRowView {
                    id: job.id,
                    job_type: job.job_type,
                    status: job.status,
                    progress: job.progress,
                    result_url: job.result_key.as_deref().map(&public_url),
                    error: job.error,
                    created_at: timestamp(&job.created_at),
                    completed_at: job.completed_at.as_ref().map(timestamp),
                })
                .collect(),
            next_cursor,
            has_next_page: page.has_next,
        }
    }
}
