//! A change of a job as clients see it (generation contract 10.2).

use sea_orm::prelude::Uuid;
use serde::Serialize;
use serde_json::{Map, Value};

use super::Address;
use crate::models::{
    enum_of,
    job_events::LoggedEvent,
    job_items::public_outcome,
    jobs::{JobStatus, is_final},
    timestamp,
};

/// Name of object keys in stored payloads, and of the address that is shown instead.
const KEY: &str = "resultKey";
const URL: &str = "resultUrl";

/// The event `job-update`. Addresses are built when it is read, so that they outlive a changed port
/// or domain.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobUpdate {
    pub job_id: Uuid,
    #[serde(rename = "type")]
    pub job_type: String,
    pub status: String,
    pub progress: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The stage, and whatever the job's type tells beside it.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
    pub updated_at: String,
    /// Number among the events of its user; what a reader that was cut off resumes from.
    pub seq: i64,
}

impl JobUpdate {
    /// The event of a row of the log. Only the named fields are shown, whatever else a payload holds.
    #[must_use]
    pub fn new(row: &LoggedEvent, address: &Address) -> Self {
        let text = |key: &str| row.payload.get(key).and_then(Value::as_str);
        let mut metadata = match row.payload.get("metadata") {
            Some(Value::Object(fields)) => fields
                .iter()
                .map(|(key, value)| show(key, value, address))
                .collect(),
            _ => Map::new(),
        };
        if let Some(result) = row.payload.get("result") {
            metadata.extend(public_outcome(result, address));
        }
        if let Some(stage) = text("stage") {
            metadata.insert("stage".to_owned(), stage.into());
        }
        Self {
            job_id: row.job_id,
            job_type: text("type").unwrap_or_default().to_owned(),
            status: text("status").unwrap_or_default().to_owned(),
            progress: row
                .payload
                .get("progress")
                .and_then(Value::as_i64)
                .unwrap_or_default(),
            result_url: text(KEY).map(address),
            error: text("error").map(ToOwned::to_owned),
            metadata,
            updated_at: timestamp(&row.created_at),
            seq: row.seq,
        }
    }

    /// Whether the job changes no more after this.
    #[must_use]
    pub fn is_final(&self) -> bool {
        enum_of::<JobStatus>(&self.status).is_ok_and(|status| is_final(&status))
    }
}

/// Object keys, wherever they are, become addresses.
fn show(key: &str, value: &Value, address: &Address) -> (String, Value) {
    match value {
        Value::String(object_key) if key == KEY => (URL.to_owned(), address(object_key).into()),
        Value::Object(fields) => {
            let fields = fields
                .iter()
                .map(|(key, value)| show(key, value, address))
                .collect();
            (key.to_owned(), Value::Object(fields))
        }
        Value::Array(items) => {
            let items = items.iter().map(|item| show(key, item, address).1);
            (key.to_owned(), items.collect())
        }
        other => (key.to_owned(), other.clone()),
    }
}
