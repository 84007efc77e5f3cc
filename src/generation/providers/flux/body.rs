//! From a checked request to FLUX's JSON body, model by model.

use serde_json::{Map, Value};

use crate::generation::{RequestError, kit::Options, options::CommonOptions, request::Input};

/// How a model takes the size of the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sizing {
    /// Sides in pixels: bounds and step.
    Pixels { min: u32, max: u32, step: u32 },
    /// An aspect ratio.
    Ratio,
}

fn sizing(model: &str) -> Sizing {
    if model.starts_with("flux-2") {
        Sizing::Pixels {
            min: 256,
            max: 2048,
            step: 16,
        }
    } else if model.contains("kontext") || model.contains("ultra") {
        Sizing::Ratio
    } else {
        Sizing::Pixels {
            min: 256,
            max: 1440,
            step: 32,
        }
    }
}

/// Whether a model edits the given images rather than taking one as an inspiration.
pub fn can_edit(model: &str) -> bool {
    model.contains("kontext") || model.starts_with("flux-2")
}

/// How many reference images a model takes.
fn max_references(model: &str) -> usize {
    if model.starts_with("flux-2") {
        8
    } else if model.contains("kontext") {
        4
    } else {
        1
    }
}

/// The body for `model`, and what of the request it leaves out or changes. `given` pictures come with
/// it; `pictures` are these as base64, none when the request is only checked.
///
/// # Errors
/// [`RequestError::InvalidOption`] for values that the API refuses.
pub fn build(
    input: &Input,
    model: &str,
    given: usize,
    pictures: &[String],
) -> Result<(Value, Vec<String>), RequestError> {
    let mut options = Options::of(input)?;
    let mut body = Map::new();
    let mut put = |name: &str, value: Value| body.insert(name.to_owned(), value);
    put("prompt", input.prompt.as_str().into());
    options.count(1);
    size(model, &mut options, &mut put);
    if let Some(seed) = options.seed(u64::from(u32::MAX)) {
        put("seed", seed.into());
    }
    let format = options.format(&["png", "jpeg"]).unwrap_or("png");
    put("output_format", format.into());
    let max_tolerance = if model.starts_with("flux-2") { 5 } else { 6 };
    if let Some(tolerance) = options.integer("safety_tolerance", 0, max_tolerance)? {
        put("safety_tolerance", tolerance.into());
    }
    if let Some(on) = options.flag("prompt_upsampling")? {
        put("prompt_upsampling", on.into());
    }
    if model.contains("ultra") {
        if let Some(on) = options.flag("raw")? {
            put("raw", on.into());
        }
        if let Some(strength) = options.number("image_prompt_strength", 0.0, 1.0)? {
            put("image_prompt_strength", strength.into());
        }
    }
    if model.contains("dev") || model.contains("flex") {
        if let Some(steps) = options.integer("steps", 1, 50)? {
            put("steps", steps.into());
        }
        if let Some(guidance) = options.number("guidance", 1.5, 10.0)? {
            put("guidance", guidance.into());
        }
    }
    let taken = options.references(given, max_references(model));
    for (index, picture) in pictures.iter().take(taken).enumerate() {
        let name = match (can_edit(model), index) {
            (false, _) => "image_prompt".to_owned(),
            (true, 0) => "input_image".to_owned(),
            (true, _) => format!("input_image_{}", index.saturating_add(1)),
        };
        put(&name, picture.as_str().into());
    }
    Ok((Value::Object(body), options.finish()))
}

fn size(
    model: &str,
    options: &mut Options<'_>,
    put: &mut impl FnMut(&str, Value) -> Option<Value>,
) {
    options.sizes_itself();
    let common = options.common();
    match sizing(model) {
        Sizing::Pixels { min, max, step } => {
            if common.size.is_none() && common.ratio.is_none() {
                return;
            }
            let is_exact = common.size.is_some();
            let (width, height) = common.pixels();
            let fit = |side: u32| (side.saturating_add(step / 2) / step * step).clamp(min, max);
            let fitting = (fit(width), fit(height));
            if is_exact && fitting != (width, height) {
                options.warn(format!(
                    "The size was changed to {}x{}.",
                    fitting.0, fitting.1
                ));
            }
            put("width", fitting.0.into());
            put("height", fitting.1.into());
        }
        Sizing::Ratio => {
            if let Some(ratio) = ratio_text(common) {
                put("aspect_ratio", ratio.into());
            }
        }
    }
}

/// `16:9`, from the ratio or from the size.
fn ratio_text(common: &CommonOptions) -> Option<String> {
    if let Some((a, b)) = common.ratio {
        return Some(format!("{a:.0}:{b:.0}"));
    }
    let (width, height) = common.size?;
    let divisor = greatest_common_divisor(width, height);
    Some(format!("{}:{}", width / divisor, height / divisor))
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 {
        a.max(1)
    } else {
        greatest_common_divisor(b, a % b)
    }
}
