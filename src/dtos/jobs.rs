//! Bodies of `/api/jobs/*` beside images (generation contract 5.1).

use serde_json::{Map, Value};

use super::{
    fields::{Fields, Length},
    generation::{ImageBody, PROMPT_MAX},
};
use crate::{
    http::{ApiError, ApiResult, ErrorCode},
    models::scalars::as_integer,
};

/// Most prompts of a batch.
const PROMPTS_MAX: usize = 20;
/// Most items of a batch that are worked at the same time.
const BATCH_SIZE_MAX: i64 = 10;
/// Factors of an upscale.
const SCALES: [u32; 2] = [2, 4];
const NAME_MAX: usize = 128;
const ADDRESS_MAX: usize = 8192;

/// `POST /api/jobs/batch-generation`: one picture of each prompt, `options` as of an image job.
#[derive(Debug)]
pub struct BatchJobBody {
    pub provider: String,
    pub prompts: Vec<String>,
    pub batch_size: Option<u32>,
    /// What all pictures have in common.
    pub image: ImageBody,
}

impl BatchJobBody {
    /// # Errors
    /// 400 with every broken rule.
    pub fn parse(body: Map<String, Value>) -> ApiResult<Self> {
        let mut fields = Fields::new(body);
        let prompts = prompts(&mut fields);
        let model = fields.required_text("model", Length::max(NAME_MAX));
        let provider = fields.required_text("provider", Length::max(NAME_MAX));
        let batch_size = fields.integer("batchSize", 1, BATCH_SIZE_MAX);
        let mut inner = fields.object("options").unwrap_or_default();
        fields.finish()?;
        let first = prompts.first().cloned().unwrap_or_default();
        inner.insert("prompt".to_owned(), first.into());
        inner.insert("model".to_owned(), model.into());
        Ok(Self {
            provider: provider.trim().to_owned(),
            prompts,
            batch_size: batch_size.and_then(|size| u32::try_from(size).ok()),
            image: ImageBody::parse(inner)?,
        })
    }
}

/// Reads the prompts; each that is not right is named by its place.
fn prompts(fields: &mut Fields) -> Vec<String> {
    let Some(Value::Array(items)) = fields.take("prompts") else {
        fields.fault("prompts must be an array");
        return Vec::new();
    };
    if items.is_empty() {
        fields.fault("prompts must contain at least 1 element");
    }
    if items.len() > PROMPTS_MAX {
        fields.fault(format!(
            "prompts must contain no more than {PROMPTS_MAX} elements"
        ));
        return Vec::new();
    }
    let mut prompts = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        let Value::String(text) = item else {
            fields.fault(format!("prompts.{index} must be a string"));
            continue;
        };
        let prompt = text.trim();
        if prompt.is_empty() {
            fields.fault(format!("prompts.{index} should not be empty"));
        }
        if prompt.chars().count() > PROMPT_MAX {
            fields.fault(format!(
                "prompts.{index} must be shorter than or equal to {PROMPT_MAX} characters"
            ));
        }
        prompts.push(prompt.to_owned());
    }
    prompts
}

/// `POST /api/jobs/video-generation`.
#[derive(Debug)]
pub struct VideoJobBody {
    pub provider: String,
    pub model: String,
    pub prompt: String,
    pub image_urls: Vec<String>,
    pub options: Map<String, Value>,
}

impl VideoJobBody {
    /// # Errors
    /// 400 with every broken rule.
    pub fn parse(body: Map<String, Value>) -> ApiResult<Self> {
        let mut fields = Fields::new(body);
        let prompt = fields.required_text("prompt", Length::max(PROMPT_MAX));
        let model = fields.required_text("model", Length::max(NAME_MAX));
        let provider = fields.required_text("provider", Length::max(NAME_MAX));
        let options = fields.object("options").unwrap_or_default();
        let image_urls = fields.texts("imageUrls");
        for (index, address) in image_urls.iter().enumerate() {
            check_address(&mut fields, &format!("imageUrls.{index}"), address);
        }
        fields.finish()?;
        let prompt = prompt.trim().to_owned();
        if prompt.is_empty() {
            return Err(ApiError::bad_request(
                ErrorCode::ValidationFailed,
                "Prompt is required",
            ));
        }
        Ok(Self {
            provider: provider.trim().to_owned(),
            model: model.trim().to_owned(),
            prompt,
            image_urls,
            options,
        })
    }
}

/// `POST /api/jobs/image-upscale`.
#[derive(Debug)]
pub struct UpscaleJobBody {
    pub provider: String,
    pub model: String,
    pub image_url: String,
    pub scale: u32,
    pub options: Map<String, Value>,
}

impl UpscaleJobBody {
    /// # Errors
    /// 400 with every broken rule.
    pub fn parse(body: Map<String, Value>) -> ApiResult<Self> {
        let mut fields = Fields::new(body);
        let image_url = fields.required_text("imageUrl", Length::max(ADDRESS_MAX));
        let image_url = image_url.trim().to_owned();
        if !image_url.is_empty() {
            check_address(&mut fields, "imageUrl", &image_url);
        }
        let model = fields.required_text("model", Length::max(NAME_MAX));
        let provider = fields.required_text("provider", Length::max(NAME_MAX));
        let scale = match fields.take("scale") {
            None => SCALES.first().copied(),
            Some(value) => as_integer(&value)
                .and_then(|scale| u32::try_from(scale).ok())
                .filter(|scale| SCALES.contains(scale)),
        };
        if scale.is_none() {
            fields.fault("scale must be one of the following values: 2, 4");
        }
        let options = fields.object("options").unwrap_or_default();
        fields.finish()?;
        Ok(Self {
            provider: provider.trim().to_owned(),
            model: model.trim().to_owned(),
            image_url,
            scale: scale.unwrap_or_default(),
            options,
        })
    }
}

/// An address must be https; plain http is left to the fetcher, which takes it for nobody but
/// stand-ins, and to the caller's own files.
fn check_address(fields: &mut Fields, name: &str, address: &str) {
    if !address.starts_with("https://") && !address.starts_with("http://") {
        fields.fault(format!("{name} must be an https address"));
    }
}
