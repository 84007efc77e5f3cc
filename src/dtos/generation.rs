//! Bodies of `/api/image/*` and `/api/jobs/image-generation` (generation contract 3.1, 5.1).

use serde_json::{Map, Value};

use super::fields::{Fields, Length};
use crate::http::{ApiError, ApiResult, ErrorCode};

/// Longest prompt, characters.
pub const PROMPT_MAX: usize = 4096;
const MODEL_MAX: usize = 128;
const CLIENT_ID_MAX: usize = 255;

/// A wanted picture, the same for all providers. Unknown top-level keys are taken as provider
/// options and go before nested ones.
#[derive(Debug)]
pub struct ImageBody {
    pub prompt: String,
    /// Trimmed; `None` means the route's default.
    pub model: Option<String>,
    pub image_base64: Option<String>,
    pub mime_type: Option<String>,
    pub references: Vec<String>,
    /// Provider options, with `temperature`, `topP` and `outputLength` among them.
    pub options: Map<String, Value>,
    pub avatar_id: Option<String>,
    pub avatar_image_id: Option<String>,
    pub product_id: Option<String>,
    pub style_id: Option<String>,
}

impl ImageBody {
    /// # Errors
    /// 400 with every broken rule.
    pub fn parse(body: Map<String, Value>) -> ApiResult<Self> {
        let mut fields = Fields::new(body);
        let prompt = fields.required_text("prompt", Length::max(PROMPT_MAX));
        let prompt = prompt.trim().to_owned();
        let model = fields.text("model", Length::max(MODEL_MAX));
        let image_base64 = fields.text("imageBase64", Length::default());
        let mime_type = fields.text("mimeType", Length::max(CLIENT_ID_MAX));
        let references = fields.texts("references");
        let temperature = fields.number("temperature", 0.0, 2.0);
        let output_length = fields.integer("outputLength", 1, 8192);
        let top_p = fields.number("topP", 0.0, 1.0);
        let mut options = fields.object("providerOptions").unwrap_or_default();
        let avatar_id = fields.text("avatarId", Length::max(CLIENT_ID_MAX));
        let avatar_image_id = fields.text("avatarImageId", Length::max(CLIENT_ID_MAX));
        let product_id = fields.text("productId", Length::max(CLIENT_ID_MAX));
        let style_id = fields.text("styleId", Length::max(CLIENT_ID_MAX));
        options.extend(fields.rest());
        for (name, value) in [
            ("temperature", temperature.map(Value::from)),
            ("outputLength", output_length.map(Value::from)),
            ("topP", top_p.map(Value::from)),
        ] {
            if let Some(value) = value {
                options.insert(name.to_owned(), value);
            }
        }
        fields.finish()?;
        if prompt.is_empty() {
            return Err(ApiError::bad_request(
                ErrorCode::ValidationFailed,
                "Prompt is required",
            ));
        }
        if model.as_ref().is_some_and(|model| model.trim().is_empty()) {
            return Err(ApiError::bad_request(
                ErrorCode::ValidationFailed,
                "Model is required",
            ));
        }
        Ok(Self {
            prompt,
            model: model.map(|model| model.trim().to_owned()),
            image_base64: image_base64.filter(|text| !text.is_empty()),
            mime_type,
            references,
            options,
            avatar_id,
            avatar_image_id,
            product_id,
            style_id,
        })
    }
}

/// `POST /api/jobs/image-generation`: provider and model by name, the rest in `options`.
#[derive(Debug)]
pub struct ImageJobBody {
    pub provider: String,
    pub image: ImageBody,
}

impl ImageJobBody {
    /// # Errors
    /// 400 with every broken rule.
    pub fn parse(body: Map<String, Value>) -> ApiResult<Self> {
        let mut fields = Fields::new(body);
        let prompt = fields.required_text("prompt", Length::max(PROMPT_MAX));
        let model = fields.required_text("model", Length::max(MODEL_MAX));
        let provider = fields.required_text("provider", Length::max(MODEL_MAX));
        let mut inner = fields.object("options").unwrap_or_default();
        fields.finish()?;
        inner.insert("prompt".to_owned(), prompt.into());
        inner.insert("model".to_owned(), model.into());
        Ok(Self {
            provider: provider.trim().to_owned(),
            image: ImageBody::parse(inner)?,
        })
    }
}
