//! How a batch stands, as stored with its job and as its owner sees it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use super::{Item, ItemStatus};
use crate::models::enum_text;

/// How many items of a batch are where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    pub total: i64,
    pub delivered: i64,
    pub failed: i64,
}

impl Tally {
    /// Counts the items of a batch.
    #[must_use]
    pub fn of(items: &[Item]) -> Self {
        let count = |status: &ItemStatus| {
            let n = items.iter().filter(|item| item.status == *status).count();
            i64::try_from(n).unwrap_or(i64::MAX)
        };
        Self {
            total: i64::try_from(items.len()).unwrap_or(i64::MAX),
            delivered: count(&ItemStatus::Completed),
            failed: count(&ItemStatus::Failed),
        }
    }

    /// Items that are final.
    #[must_use]
    pub const fn done(&self) -> i64 {
        self.delivered.saturating_add(self.failed)
    }

    /// Progress of a running batch: 10 to 90 (generation contract 8.1).
    #[must_use]
    pub fn progress(&self) -> i16 {
        let part = self.done().saturating_mul(80).checked_div(self.total);
        let progress = part.unwrap_or_default().saturating_add(10).min(90);
        i16::try_from(progress).unwrap_or(90)
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    #[serde(default)]
    items: Vec<StoredItem>,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredItem {
    index: i32,
    status: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code: Option<String>,
}

/// What is stored with the job: the files in the order of the prompts, and each item's fate.
#[must_use]
pub fn outcome(items: &[Item]) -> Json {
    let files: Vec<Json> = items
        .iter()
        .filter_map(|item| {
            let key = item.object_key.as_ref()?;
            Some(json!({"id": item.file_id, "key": key, "mimeType": item.mime_type}))
        })
        .collect();
    let items: Vec<StoredItem> = items
        .iter()
        .map(|item| StoredItem {
            index: item.position,
            status: enum_text(&item.status),
            key: item.object_key.clone(),
            error: item.error.clone(),
            code: item.error.as_ref().and(item.error_code.clone()),
        })
        .collect();
    json!({"files": files, "items": items})
}

/// What the owner sees of it: `results`, `resultCount`, `done`, `total`, `failed` and `items`; nothing
/// when `stored` is not of a batch. `public_url` makes an address of an object key.
#[must_use]
pub fn public_outcome(stored: &Json, public_url: impl Fn(&str) -> String) -> Map<String, Json> {
    let mut seen = Map::new();
    let Ok(stored) = Stored::deserialize(stored) else {
        return seen;
    };
    if stored.items.is_empty() {
        return seen;
    }
    let count = |status: ItemStatus| {
        let status = enum_text(&status);
        stored
            .items
            .iter()
            .filter(|item| item.status == status)
            .count()
    };
    let failed = count(ItemStatus::Failed);
    let delivered = count(ItemStatus::Completed);
    let results: Vec<String> = stored
        .items
        .iter()
        .filter_map(|item| item.key.as_deref())
        .map(&public_url)
        .collect();
    let items: Vec<Json> = stored
        .items
        .iter()
        .map(|item| {
            let mut seen = Map::new();
            seen.insert("index".to_owned(), item.index.into());
            seen.insert("status".to_owned(), item.status.clone().into());
            if let Some(key) = &item.key {
                seen.insert("url".to_owned(), public_url(key).into());
            }
            if let Some(error) = &item.error {
                seen.insert("error".to_owned(), error.clone().into());
                seen.insert("code".to_owned(), json!(item.code));
            }
            Json::Object(seen)
        })
        .collect();
    seen.insert("results".to_owned(), json!(results));
    seen.insert("resultCount".to_owned(), json!(delivered));
    seen.insert("done".to_owned(), json!(delivered.saturating_add(failed)));
    seen.insert("total".to_owned(), json!(stored.items.len()));
    seen.insert("failed".to_owned(), json!(failed));
    seen.insert("items".to_owned(), Json::Array(items));
    seen
}
