//! The form of `POST /api/scene/generate` (generation contract 6.2).

use serde_json::{Map, Value};

use super::fields::{Fields, Length};
use crate::http::{ApiError, ApiResult, ErrorCode, Upload};

const TYPES: [&str; 4] = ["image/png", "image/jpeg", "image/jpg", "image/webp"];

/// A wanted scene.
#[derive(Debug)]
pub struct SceneBody {
    pub template_id: Option<String>,
    pub style_option_id: Option<String>,
    pub style_preset: Option<String>,
    pub rendering_speed: Option<String>,
    pub note: Option<String>,
    pub focus: Option<String>,
    pub style_type: Option<String>,
    pub picture: Upload,
}

impl SceneBody {
    /// # Errors
    /// 400 with every broken rule of the fields, or with what is wrong with the picture.
    pub fn parse(form: Map<String, Value>, picture: Option<Upload>) -> ApiResult<Self> {
        let mut fields = Fields::new(form);
        let mut text = |name: &str, max: usize| {
            fields
                .text(name, Length::max(max))
                .map(|text| text.trim().to_owned())
                .filter(|text| !text.is_empty())
        };
        let template_id = text("sceneTemplateId", 64);
        let style_option_id = text("styleOptionId", 128);
        let style_preset = text("stylePreset", 120);
        let note = text("personalizationNote", 280);
        let mut one_of = |name: &str, words: &[&str], sentence: &str| {
            let word = fields
                .text(name, Length::max(32))
                .filter(|word| !word.is_empty())?;
            if !words.contains(&word.as_str()) {
                fields.fault(sentence);
            }
            Some(word)
        };
        let rendering_speed = one_of(
            "renderingSpeed",
            &["DEFAULT", "TURBO"],
            "renderingSpeed must be DEFAULT or TURBO",
        );
        let focus = one_of(
            "characterFocus",
            &["portrait", "landscape", "square"],
            "characterFocus must be portrait, landscape, or square",
        );
        let style_type = one_of(
            "styleType",
            &["AUTO", "REALISTIC", "FICTION"],
            "styleType must be AUTO, REALISTIC, or FICTION",
        );
        fields.finish()?;
        let picture = checked(picture)?;
        Ok(Self {
            template_id,
            style_option_id,
            style_preset,
            rendering_speed,
            note,
            focus,
            style_type,
            picture,
        })
    }
}

fn checked(picture: Option<Upload>) -> ApiResult<Upload> {
    let invalid = |text: String| Err(ApiError::bad_request(ErrorCode::ValidationFailed, text));
    let Some(picture) = picture.filter(|picture| picture.field == "characterImage") else {
        return invalid("A character image upload is required.".to_owned());
    };
    if picture.bytes.is_empty() {
        return invalid("Uploaded character image is empty.".to_owned());
    }
    if !picture.content_type.starts_with("image/") {
        return invalid("Only image uploads are supported".to_owned());
    }
    if !TYPES.contains(&picture.content_type.as_str()) {
        return invalid(format!(
            "Unsupported character image type: {}",
            picture.content_type
        ));
    }
    Ok(picture)
}
