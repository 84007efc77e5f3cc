//! From a checked request to the body of xAI's picture models.

use serde_json::{Map, Value, json};

use crate::generation::{RequestError, kit::Options, request::Input};

/// Most pictures that an edit takes, and that a call makes.
const MAX_IMAGES: usize = 3;
const MAX_PICTURES: u32 = 10;
/// A picture whose longer side is above this is made in the larger resolution, pixels.
const LARGE_SIDE: u32 = 1536;

const RATIOS: &[&str] = &[
    "1:1", "16:9", "9:16", "4:3", "3:4", "3:2", "2:3", "2:1", "1:2", "19.5:9", "9:19.5", "20:9",
    "9:20",
];

/// The call for a request, without its pictures.
#[derive(Debug, PartialEq)]
pub struct Plan {
    body: Map<String, Value>,
    /// How many of the given pictures go along.
    pub images: usize,
    pub outputs: u32,
    pub warnings: Vec<String>,
}

impl Plan {
    /// The last segment of the call's path.
    #[must_use]
    pub const fn call(&self) -> &'static str {
        if self.images > 0 {
            "edits"
        } else {
            "generations"
        }
    }

    /// The body with the given pictures, data URLs.
    #[must_use]
    pub fn body(mut self, images: Vec<String>) -> Value {
        let mut images: Vec<_> = images
            .into_iter()
            .map(|url| json!({ "url": url, "type": "image_url" }))
            .collect();
        if images.len() > 1 {
            self.body.insert("images".to_owned(), images.into());
        } else if let Some(image) = images.pop() {
            self.body.insert("image".to_owned(), image);
        }
        Value::Object(self.body)
    }
}

/// The call of `model` for a request with this many pictures.
///
/// # Errors
/// [`RequestError`] for what the API refuses.
pub fn plan(input: &Input, model: &str, references: usize) -> Result<Plan, RequestError> {
    let mut options = Options::of(input)?;
    // The second generation lets the quality be chosen, and the ratio of an edited picture.
    let is_second = model.contains("image-2");
    let mut body = Map::new();
    body.insert("model".to_owned(), model.into());
    body.insert("prompt".to_owned(), input.prompt.as_str().into());
    let outputs = options.count(MAX_PICTURES);
    body.insert("n".to_owned(), outputs.into());
    body.insert("response_format".to_owned(), "b64_json".into());
    let images = options.references(references, MAX_IMAGES);
    let (size, has_ratio) = (options.common().size, options.common().ratio.is_some());
    if images == 1 && !is_second {
        options.sizes_itself();
        if size.is_some() || has_ratio {
            options.warn("This model keeps the aspect ratio of the given picture.");
        }
    } else {
        if size.is_some() {
            options.warn("This model takes no size in pixels; only the aspect ratio is used.");
        }
        if let Some(ratio) = options.ratio(RATIOS) {
            body.insert("aspect_ratio".to_owned(), ratio.into());
        }
    }
    let resolution = match size {
        Some((width, height)) => (width.max(height) > LARGE_SIDE).then_some("2k"),
        None => options.choice("resolution", &["1k", "2k"])?,
    };
    if let Some(resolution) = resolution {
        body.insert("resolution".to_owned(), resolution.into());
    }
    if is_second && let Some(quality) = options.choice("quality", &["low", "medium", "high"])? {
        body.insert("quality".to_owned(), quality.into());
    }
    Ok(Plan {
        body,
        images,
        outputs,
        warnings: options.finish(),
    })
}
