//! A wanted picture as it is stored with its job: checked options and object keys, never bytes.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A reference image that lies in our bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredReference {
    pub key: String,
    pub mime_type: String,
}

/// What a worker needs to make the picture.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageInput {
    pub prompt: String,
    /// Public model id, aliases resolved.
    pub model: String,
    #[serde(default)]
    pub options: Map<String, Value>,
    #[serde(default)]
    pub references: Vec<StoredReference>,
    /// How the keys of the references begin; they go when the job is final.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs_prefix: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avatar_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avatar_image_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub style_id: Option<String>,
}

/// Longest text that the owner gets back among the options of a job, bytes.
const MAX_PUBLIC_TEXT: usize = 2048;

/// Options without pictures and other large texts, for the owner's eyes and the usage event.
#[must_use]
pub fn public_options(options: &Map<String, Value>) -> Map<String, Value> {
    options
        .iter()
        .filter_map(|(key, value)| public_value(value).map(|value| (key.clone(), value)))
        .collect()
}

fn public_value(value: &Value) -> Option<Value> {
    match value {
        Value::String(text) if text.len() > MAX_PUBLIC_TEXT || text.starts_with("data:") => None,
        Value::Array(items) => Some(items.iter().filter_map(public_value).collect()),
        Value::Object(fields) => Some(Value::Object(public_options(fields))),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Some(value.clone()),
    }
}
