//! From a checked request to the body of DashScope's picture models, family by family.

use serde_json::{Map, Value, json};

use crate::generation::{
    RequestError,
    kit::{Options, nearest_ratio},
    request::Input,
};

/// Most characters that the first models read.
const PROMPT_MAX: usize = 800;
const NEGATIVE_MAX: usize = 500;
/// Most pictures that a model takes.
const MAX_IMAGES: usize = 3;
/// Most pictures of one request.
const MAX_PICTURES: u32 = 6;
/// The largest seed.
const MAX_SEED: u64 = 2_147_483_647;

/// Sizes of the first models, pixels; the first is theirs when none is asked for.
const SIZES: &[(u32, u32)] = &[
    (1328, 1328),
    (1664, 928),
    (1472, 1104),
    (1104, 1472),
    (928, 1664),
];
/// Recommended sizes of the later models for common ratios, pixels.
const LATER_SIZES: [(&str, (u32, u32)); 5] = [
    ("1:1", (2048, 2048)),
    ("16:9", (2688, 1536)),
    ("4:3", (2368, 1728)),
    ("3:4", (1728, 2368)),
    ("9:16", (1536, 2688)),
];
/// Bounds of a later model's picture, pixels.
const MIN_AREA: f64 = 512.0 * 512.0;
const MAX_AREA: f64 = 2048.0 * 2048.0;
/// Bounds of a side of an edited picture, pixels.
const EDIT_SIDES: (u32, u32) = (512, 2048);

/// What a model can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    /// Pictures from text, one per call, in a few sizes.
    Text,
    /// Edits pictures, one result per call and as large as it likes.
    FirstEdit,
    /// Edits pictures.
    Edit,
    /// Both, in any size.
    Unified,
}

impl Family {
    fn of(model: &str) -> Self {
        let version = model.strip_prefix("qwen-image-").unwrap_or_default();
        if version == "edit" {
            Self::FirstEdit
        } else if version.starts_with("edit") {
            Self::Edit
        } else if version.starts_with(|first: char| first.is_ascii_digit()) {
            Self::Unified
        } else {
            Self::Text
        }
    }

    /// Whether one call makes all the pictures that are asked for.
    const fn makes_several(self) -> bool {
        matches!(self, Self::Edit | Self::Unified)
    }
}

/// Whether a model takes pictures.
#[must_use]
pub fn can_edit(model: &str) -> bool {
    Family::of(model) != Family::Text
}

/// The call for a request, without its pictures.
#[derive(Debug, PartialEq)]
pub struct Plan {
    model: String,
    prompt: String,
    parameters: Map<String, Value>,
    /// How many of the given pictures go along.
    pub images: usize,
    /// How often the call is made; each gives its share of the outputs.
    pub times: u32,
    pub outputs: u32,
    pub warnings: Vec<String>,
}

impl Plan {
    /// The body of the `n`th call, with the given pictures as data URLs.
    #[must_use]
    pub fn body(&self, images: &[String], n: u32) -> Value {
        let mut content: Vec<_> = images
            .iter()
            .map(|image| json!({ "image": image }))
            .collect();
        content.push(json!({ "text": self.prompt }));
        let mut parameters = self.parameters.clone();
        // The same seed would give the same picture again.
        if let Some(seed) = parameters.get("seed").and_then(Value::as_u64) {
            let seed = seed.saturating_add(u64::from(n)) % (MAX_SEED + 1);
            parameters.insert("seed".to_owned(), seed.into());
        }
        json!({
            "model": self.model,
            "input": { "messages": [{ "role": "user", "content": content }] },
            "parameters": parameters,
        })
    }
}

/// The call of `model` for a request with this many pictures.
///
/// # Errors
/// [`RequestError`] for what the API refuses.
pub fn plan(input: &Input, model: &str, references: usize) -> Result<Plan, RequestError> {
    let family = Family::of(model);
    if references == 0 && matches!(family, Family::FirstEdit | Family::Edit) {
        return Err(RequestError::InvalidReference(
            "This model changes pictures: give at least one.".to_owned(),
        ));
    }
    let mut options = Options::of(input)?;
    let taken = if family == Family::Text {
        0
    } else {
        MAX_IMAGES
    };
    let images = options.references(references, taken);
    let mut parameters = Map::new();
    if let Some((width, height)) = size(family, &mut options) {
        parameters.insert("size".to_owned(), format!("{width}*{height}").into());
    }
    let outputs = options.count(MAX_PICTURES);
    if family.makes_several() {
        parameters.insert("n".to_owned(), outputs.into());
    }
    let negative = options
        .text("negative_prompt", NEGATIVE_MAX)?
        .or(options.text("negativePrompt", NEGATIVE_MAX)?);
    if let Some(text) = negative {
        parameters.insert("negative_prompt".to_owned(), text.into());
    }
    if family != Family::FirstEdit {
        let extends = options
            .flag("prompt_extend")?
            .or(options.flag("promptExtend")?);
        if let Some(extends) = extends {
            parameters.insert("prompt_extend".to_owned(), extends.into());
        }
    }
    let is_marked = options.flag("watermark")?.unwrap_or(false);
    parameters.insert("watermark".to_owned(), is_marked.into());
    if let Some(seed) = options.seed(MAX_SEED) {
        parameters.insert("seed".to_owned(), seed.into());
    }
    let prompt = match family {
        Family::Unified => input.prompt.clone(),
        Family::Text | Family::FirstEdit | Family::Edit => {
            if input.prompt.chars().count() > PROMPT_MAX {
                options.warn(format!(
                    "This model reads the first {PROMPT_MAX} characters of the prompt; the rest is ignored."
                ));
            }
            input.prompt.chars().take(PROMPT_MAX).collect()
        }
    };
    Ok(Plan {
        model: model.to_owned(),
        prompt,
        parameters,
        images,
        times: if family.makes_several() { 1 } else { outputs },
        outputs,
        warnings: options.finish(),
    })
}

/// The size to ask for; `None` leaves it to upstream, which follows a given picture.
fn size(family: Family, options: &mut Options<'_>) -> Option<(u32, u32)> {
    let wanted = options.common().size;
    let ratio = options.common().ratio;
    let size = match family {
        Family::FirstEdit => return None,
        Family::Text => return Some(options.size(SIZES).unwrap_or((1328, 1328))),
        Family::Edit => {
            if wanted.is_none() && ratio.is_none() {
                return None;
            }
            let (min, max) = EDIT_SIDES;
            let (width, height) = options.common().pixels();
            (width.clamp(min, max), height.clamp(min, max))
        }
        Family::Unified => match wanted {
            Some((width, height)) => within_area(f64::from(width), f64::from(height)),
            None => of_ratio(ratio?),
        },
    };
    options.sizes_itself();
    if wanted.is_some_and(|wanted| wanted != size) {
        options.warn(format!("The size was changed to {}x{}.", size.0, size.1));
    }
    Some(size)
}

/// The recommended size for a common ratio, else the largest of this ratio.
fn of_ratio((a, b): (f64, f64)) -> (u32, u32) {
    let names = LATER_SIZES.map(|(name, _)| name);
    let known = nearest_ratio((a, b), &names).and_then(|nearest| {
        let (x, y) = nearest.split_once(':')?;
        let (x, y): (f64, f64) = (x.parse().ok()?, y.parse().ok()?);
        let is_same = (a * y - b * x).abs() < 0.01 * b * x;
        let (_, size) = LATER_SIZES.iter().find(|(name, _)| *name == nearest)?;
        is_same.then_some(*size)
    });
    known.unwrap_or_else(|| {
        let scale = (MAX_AREA / (a * b)).sqrt();
        within_area(a * scale, b * scale)
    })
}

/// Sides of the same ratio whose area is allowed, in steps of 16 when they have to change.
fn within_area(width: f64, height: f64) -> (u32, u32) {
    let area = width * height;
    let scale = (area.clamp(MIN_AREA, MAX_AREA) / area).sqrt();
    let is_whole = width.fract() == 0.0 && height.fract() == 0.0;
    let side = |side: f64| {
        if is_whole && (scale - 1.0).abs() < f64::EPSILON {
            return whole(side);
        }
        let steps = side * scale / 16.0;
        // Towards the inside of the bounds.
        let steps = if scale > 1.0 {
            steps.ceil()
        } else {
            (steps + 1e-9).floor()
        };
        whole(steps * 16.0)
    };
    (side(width), side(height))
}

fn whole(side: f64) -> u32 {
    format!("{side:.0}").parse().unwrap_or(1024)
}
