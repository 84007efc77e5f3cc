//! Admission of scenes: the base image and the person become the inputs of a job.

use bytes::Bytes;
use sea_orm::prelude::Uuid;
use serde_json::{Map, Value, json};

use super::Scenes;
use crate::{
    generation::{
        RequestError,
        admission::{Given, Order, Origin},
        pipeline::Pipeline,
        registry::Offer,
        request::{Input, Kind},
    },
    models::{jobs::JobType, users::Profile},
};

/// The provider that puts people into scenes.
const PROVIDER: &str = "ideogram";

/// A scene that a user wants to be in.
#[derive(Debug)]
pub struct WantedScene {
    pub template_id: Option<String>,
    pub style_option_id: Option<String>,
    pub style_preset: Option<String>,
    pub style_type: Option<String>,
    pub rendering_speed: Option<String>,
    /// `portrait`, `landscape` or `square`.
    pub focus: Option<String>,
    /// The user's words, put after the template's.
    pub note: Option<String>,
    pub picture: Bytes,
    /// Name of the uploaded file, for the user's eyes.
    pub picture_name: Option<String>,
    pub picture_type: String,
}

impl Pipeline {
    /// Admits a scene job and gives its id.
    ///
    /// # Errors
    /// See [`RequestError`]; nothing is written then.
    pub async fn admit_scene(
        &self,
        user: &Profile,
        wanted: WantedScene,
        origin: Origin,
    ) -> Result<Uuid, RequestError> {
        let template = Scenes::find(
            wanted.template_id.as_deref(),
            wanted.style_option_id.as_deref(),
        )?;
        let offer = Offer::find(Kind::Scene, PROVIDER)?;
        let model = self.registry.model(offer, None)?;
        let mut prompt = template.prompt.clone();
        if let Some(focus) = &wanted.focus {
            prompt.push_str(&format!(" The person is framed for a {focus} picture."));
        }
        if let Some(note) = wanted
            .note
            .as_deref()
            .map(str::trim)
            .filter(|note| !note.is_empty())
        {
            prompt.push(' ');
            prompt.push_str(note);
        }
        let speed = wanted
            .rendering_speed
            .as_ref()
            .unwrap_or(&template.rendering_speed);
        let preset = wanted
            .style_preset
            .as_ref()
            .or(template.style_preset.as_ref());
        let style_type = wanted.style_type.as_ref().or(template.style_type.as_ref());
        let mut options = Map::new();
        let mut metadata = Map::new();
        for (option, shown, value) in [
            ("aspect_ratio", "aspectRatio", Some(&template.aspect_ratio)),
            ("rendering_speed", "renderingSpeed", Some(speed)),
            (
                "style_preset",
                "stylePreset",
                preset.filter(|preset| *preset != "AUTO"),
            ),
            ("style_type", "styleType", style_type),
        ] {
            if let Some(value) = value {
                options.insert(option.to_owned(), Value::from(value.as_str()));
                metadata.insert(shown.to_owned(), Value::from(value.as_str()));
            }
        }
        metadata.insert(
            "template".to_owned(),
            json!({
                "id": template.id, "title": template.title, "styleOptionId": template.style_option_id,
            }),
        );
        metadata.insert(
            "characterUpload".to_owned(),
            json!({
                "mimeType": wanted.picture_type, "originalName": wanted.picture_name,
                "size": wanted.picture.len(),
            }),
        );
        let base = self.scene_base(template).await?;
        let order = Order {
            job_type: JobType::SceneGeneration,
            provider: offer.provider,
            prompt: Some(prompt.clone()),
            input: Input {
                prompt,
                model,
                options,
                ..Input::default()
            },
            given: Given::Bytes(vec![
                ("The base image".to_owned(), base),
                ("characterImage".to_owned(), wanted.picture),
            ]),
            price: Kind::Scene.price(&self.settings.credits.prices),
            metadata,
            items: None,
        };
        self.admit(user, order, origin).await
    }
}
