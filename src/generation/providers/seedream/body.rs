//! From a checked request to the body of the Seedream models, generation by generation.

use serde_json::{Map, Value, json};

use super::size::{self, Bounds};
use crate::generation::{RequestError, kit::Options, request::Input};

/// Most pictures of a set, the given ones included.
const MAX_SET: usize = 15;
/// Pictures of a set whose size is not given.
const DEFAULT_SET: i64 = 4;
/// Most pictures that are made one by one.
const MAX_PICTURES: u32 = 15;
/// The largest seed.
const MAX_SEED: u64 = 2_147_483_647;

/// What a model can do.
#[derive(Debug, Clone, Copy)]
struct Model {
    bounds: Bounds,
    /// Pictures that it takes.
    images: usize,
    generation: Generation,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Generation {
    Third,
    Fourth,
    Fifth,
}

impl Model {
    fn of(id: &str) -> Self {
        use Generation::{Fifth, Fourth, Third};
        let (bounds, images, generation) = if id.contains("seedream-3") {
            (Bounds::Sides(512, 2048), 0, Third)
        } else if id.contains("seedream-4-0") {
            (size::FROM_1K_TO_4K, 14, Fourth)
        } else if id.contains("seedream-4") {
            (size::FROM_2K_TO_4K, 14, Fourth)
        } else if id.contains("pro") {
            (size::FROM_1K_TO_2K, 10, Fifth)
        } else {
            (size::FROM_2K_TO_4K_WITH_3K, 14, Fifth)
        };
        Self {
            bounds,
            images,
            generation,
        }
    }
}

/// Whether a model takes pictures.
#[must_use]
pub fn can_edit(model: &str) -> bool {
    Model::of(model).images > 0
}

/// The call for a request, without its pictures.
#[derive(Debug, PartialEq)]
pub struct Plan {
    body: Map<String, Value>,
    /// How many of the given pictures go along.
    pub images: usize,
    /// How often the call is made: it makes one picture, or a set of pictures that belong together.
    pub times: u32,
    pub outputs: u32,
    pub warnings: Vec<String>,
}

impl Plan {
    /// The body of the `n`th call, with the given pictures as data URLs.
    #[must_use]
    pub fn body(&self, images: &[String], n: u32) -> Value {
        let mut body = self.body.clone();
        match images {
            [] => {}
            [image] => {
                body.insert("image".to_owned(), image.as_str().into());
            }
            images => {
                body.insert("image".to_owned(), json!(images));
            }
        }
        // The same seed would give the same picture again.
        if let Some(seed) = body.get("seed").and_then(Value::as_u64) {
            let seed = seed.saturating_add(u64::from(n)) % (MAX_SEED + 1);
            body.insert("seed".to_owned(), seed.into());
        }
        Value::Object(body)
    }
}

/// The call of `id` for a request with this many pictures.
///
/// # Errors
/// [`RequestError`] for what the API refuses.
pub fn plan(input: &Input, id: &str, references: usize) -> Result<Plan, RequestError> {
    let model = Model::of(id);
    let mut options = Options::of(input)?;
    let images = options.references(references, model.images);
    let mut body = Map::new();
    body.insert("model".to_owned(), id.into());
    body.insert("prompt".to_owned(), input.prompt.as_str().into());
    let size = size::wanted(model.bounds, &mut options)?;
    body.insert("size".to_owned(), size.into());
    body.insert("response_format".to_owned(), "url".into());
    // Upstream would mark its pictures.
    let is_marked = options.flag("watermark")?.unwrap_or(false);
    body.insert("watermark".to_owned(), is_marked.into());
    let set = match model.generation {
        Generation::Third => {
            third(&mut options, &mut body)?;
            None
        }
        Generation::Fourth | Generation::Fifth => later(model, images, &mut options, &mut body)?,
    };
    let single = options.count(MAX_PICTURES);
    Ok(Plan {
        body,
        images,
        times: if set.is_some() { 1 } else { single },
        outputs: set.unwrap_or(single),
        warnings: options.finish(),
    })
}

fn third(options: &mut Options<'_>, body: &mut Map<String, Value>) -> Result<(), RequestError> {
    if let Some(seed) = options.seed(MAX_SEED) {
        body.insert("seed".to_owned(), seed.into());
    }
    let scale = options
        .number("guidance_scale", 1.0, 10.0)?
        .or(options.number("guidanceScale", 1.0, 10.0)?);
    if let Some(scale) = scale {
        body.insert("guidance_scale".to_owned(), scale.into());
    }
    Ok(())
}

/// What the fourth and fifth generation take beyond size and watermark; the size of the set, when one
/// is wanted.
fn later(
    model: Model,
    images: usize,
    options: &mut Options<'_>,
    body: &mut Map<String, Value>,
) -> Result<Option<u32>, RequestError> {
    let set = set(images, options)?;
    let mode = if set.is_some() { "auto" } else { "disabled" };
    body.insert("sequential_image_generation".to_owned(), mode.into());
    if let Some(most) = set {
        let most = json!({ "max_images": most });
        body.insert("sequential_image_generation_options".to_owned(), most);
    }
    let mode = options
        .choice("optimize_prompt_mode", &["standard", "fast"])?
        .or(options.choice("optimizePromptMode", &["standard", "fast"])?);
    if let Some(mode) = mode {
        body.insert(
            "optimize_prompt_options".to_owned(),
            json!({ "mode": mode }),
        );
    }
    if model.generation == Generation::Fifth
        && let Some(format) = options.format(&["png", "jpeg"])
    {
        body.insert("output_format".to_owned(), format.into());
    }
    Ok(set)
}

/// How many pictures a wanted set has at most; the model decides how many it makes.
fn set(images: usize, options: &mut Options<'_>) -> Result<Option<u32>, RequestError> {
    let words = ["disabled", "auto"];
    let mode = options
        .choice("sequential_image_generation", &words)?
        .or(options.choice("sequentialImageGeneration", &words)?);
    if mode != Some("auto") {
        return Ok(None);
    }
    let room = i64::try_from(MAX_SET.saturating_sub(images)).unwrap_or(1);
    let most = options
        .integer("max_images", 1, room)?
        .or(options.integer("maxImages", 1, room)?)
        .unwrap_or(DEFAULT_SET.min(room));
    Ok(u32::try_from(most).ok())
}
