//! Files as their owner sees them (platform contract 8.1, 8.2).

use sea_orm::prelude::Uuid;
use serde::Serialize;

use super::timestamp;
use crate::models::r2_files::{FilePage, Model};

/// One file; fields without a value are left out.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FileView {
    pub id: Uuid,
    pub file_name: String,
    pub file_url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_size: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatar_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatar_image_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub style_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_id: Option<Uuid>,
    pub created_at: String,
    pub updated_at: String,
}

impl FileView {
    /// The view of a file; `public_url` makes an address of its object key.
    #[must_use]
    pub fn new(file: Model, public_url: impl Fn(&str) -> String) -> Self {
        Self {
            id: file.id,
            file_url: public_url(&file.object_key),
            file_name: file.file_name,
            file_size: file.file_size,
            mime_type: file.mime_type,
            prompt: file.prompt,
            model: file.model,
            avatar_id: file.avatar_id,
            avatar_image_id: file.avatar_image_id,
            product_id: file.product_id,
            style_id: file.style_id,
            job_id: file.job_id,
            created_at: timestamp(&file.created_at),
            updated_at: timestamp(&file.updated_at),
        }
    }
}

/// `GET /api/r2files`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FilePageView {
    pub items: Vec<FileView>,
    pub total_count: i64,
    /// Opaque; give it back as `cursor`.
    pub next_cursor: Option<String>,
}

impl FilePageView {
    /// The view of a page.
    #[must_use]
    pub fn new(page: FilePage, public_url: impl Fn(&str) -> String) -> Self {
        let next_cursor = page
            .files
            .last()
            .filter(|_| page.has_next)
            .map(|file| format!("{}_{}", timestamp(&file.created_at), file.id));
        Self {
            items: page
                .files
                .into_iter()
                .map(|file| FileView::new(file, &public_url))
                .collect(),
            total_count: page.total,
            next_cursor,
        }
    }
}
