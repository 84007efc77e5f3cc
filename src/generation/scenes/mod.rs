//! Scenes: prepared places that a person is put into (generation contract 6).
//!
//! Templates are an asset of the program. Their base images lie at a configured address; where none is
//! configured, as in development, they are drawn here and kept in the bucket.

mod admission;
mod images;

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use serde::Deserialize;
use tokio::sync::OnceCell;

pub use admission::WantedScene;

use super::RequestError;

static TEMPLATES: LazyLock<Result<Vec<Template>, serde_json::Error>> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../../assets/scenes/templates.json")));

/// A prepared scene. What is for its prompt and its rendering stays private.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Template {
    pub id: String,
    pub title: String,
    pub description: String,
    pub tags: Vec<String>,
    /// Name of the style that the client knows it by.
    #[serde(default)]
    pub style_option_id: Option<String>,
    /// Like `4x5`.
    pub aspect_ratio: String,
    rendering_speed: String,
    #[serde(default)]
    style_preset: Option<String>,
    #[serde(default)]
    style_type: Option<String>,
    prompt: String,
}

/// The templates, and the base images that were drawn in this process.
#[derive(Clone, Default)]
pub struct Scenes {
    drawn: Arc<OnceCell<Vec<(String, Bytes)>>>,
}

impl Scenes {
    /// All templates, in their order.
    ///
    /// # Errors
    /// [`RequestError::NoScenes`] when the asset is broken.
    pub fn templates() -> Result<&'static [Template], RequestError> {
        TEMPLATES
            .as_deref()
            .map_err(|error| RequestError::NoScenes(error.to_string()))
    }

    /// The template of this id; without one, the template of this style.
    ///
    /// # Errors
    /// [`RequestError::InvalidOption`] with the contract's text.
    pub fn find(
        template_id: Option<&str>,
        style_option_id: Option<&str>,
    ) -> Result<&'static Template, RequestError> {
        let templates = Self::templates()?;
        let invalid = |text: String| RequestError::InvalidOption(text);
        match (template_id, style_option_id) {
            (Some(id), _) => templates
                .iter()
                .find(|template| template.id == id)
                .ok_or_else(|| invalid(format!("Unknown scene template: {id}"))),
            (None, Some(style)) => templates
                .iter()
                .find(|template| template.style_option_id.as_deref() == Some(style))
                .ok_or_else(|| invalid(format!("Unknown style preset: {style}"))),
            (None, None) => Err(invalid(
                "Either sceneTemplateId or styleOptionId is required.".to_owned(),
            )),
        }
    }
}
