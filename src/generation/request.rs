//! Wanted work as it is stored with its job: checked options and object keys, never bytes.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    models::jobs::JobType,
    settings::Prices,
    storage::{Folder, MediaKind},
};

/// A kind of work: what a provider may be able to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Kind {
    /// A picture from a prompt.
    #[default]
    Image,
    /// A video from a prompt.
    Video,
    /// A larger picture from a picture.
    Upscale,
    /// A person put into a prepared scene.
    Scene,
}

impl Kind {
    /// What the jobs of a type ask of a provider.
    #[must_use]
    pub const fn of(job_type: &JobType) -> Self {
        match job_type {
            JobType::ImageGeneration | JobType::BatchGeneration => Self::Image,
            JobType::VideoGeneration => Self::Video,
            JobType::ImageUpscale => Self::Upscale,
            JobType::SceneGeneration => Self::Scene,
        }
    }

    /// Its word in settings.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Video => "video",
            Self::Upscale => "upscale",
            Self::Scene => "scene",
        }
    }

    /// What it gives, in the plural.
    #[must_use]
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Image => "pictures",
            Self::Video => "videos",
            Self::Upscale => "enlarged pictures",
            Self::Scene => "scenes",
        }
    }

    /// Where its results are stored.
    #[must_use]
    pub const fn folder(self) -> Folder {
        match self {
            Self::Image => Folder::GeneratedImages,
            Self::Video => Folder::Videos,
            Self::Upscale => Folder::Upscaled,
            Self::Scene => Folder::SceneRemix,
        }
    }

    /// What one result costs, credits.
    #[must_use]
    pub const fn price(self, prices: &Prices) -> i64 {
        match self {
            Self::Image => prices.image,
            Self::Video => prices.video,
            Self::Upscale => prices.upscale,
            Self::Scene => prices.scene,
        }
    }

    /// Whether a result of this type is one of its results.
    #[must_use]
    pub const fn gives(self, media: MediaKind) -> bool {
        match self {
            Self::Image | Self::Upscale | Self::Scene => matches!(media, MediaKind::Image(_)),
            Self::Video => matches!(media, MediaKind::Video(_)),
        }
    }
}

/// A reference image that lies in our bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredReference {
    pub key: String,
    pub mime_type: String,
    /// Bytes.
    #[serde(default)]
    pub size: u64,
}

/// What a worker needs to make one result.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// Follows from the job's type, so it is not stored.
    #[serde(skip)]
    pub kind: Kind,
    /// Empty for kinds that take none.
    #[serde(default)]
    pub prompt: String,
    /// Public model id, aliases resolved.
    pub model: String,
    #[serde(default)]
    pub options: Map<String, Value>,
    /// Given pictures; for an upscale the one to enlarge.
    #[serde(default)]
    pub references: Vec<StoredReference>,
    /// How many times larger an upscale makes each side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<u32>,
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
