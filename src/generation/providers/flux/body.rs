//! From a checked request to FLUX's JSON body, model by model.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use crate::{
    generation::{RequestError, options::CommonOptions, provider::Reference, request::Input},
    models::scalars::{as_integer, as_number},
};

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
pub fn max_references(model: &str) -> usize {
    if model.starts_with("flux-2") {
        8
    } else if model.contains("kontext") {
        4
    } else {
        1
    }
}

/// Options that go to no model as they are: read elsewhere, or not for users to set.
const HANDLED: [&str; 20] = [
    "width",
    "height",
    "aspect_ratio",
    "aspectRatio",
    "size",
    "ratio",
    "resolution",
    "config",
    "seed",
    "output_format",
    "outputFormat",
    "format",
    "image_format",
    "num_images",
    "numImages",
    "n",
    "styleId",
    "useQueue",
    "useInline",
    "response_format",
];

/// The body for `model`, and what of the request it leaves out or changes.
///
/// # Errors
/// [`RequestError::InvalidOption`] for values that the API refuses.
pub fn build(
    input: &Input,
    common: &CommonOptions,
    model: &str,
    references: &[Reference],
) -> Result<(Value, Vec<String>), RequestError> {
    let mut body = Map::new();
    let mut warnings = Vec::new();
    body.insert("prompt".into(), input.prompt.as_str().into());
    match sizing(model) {
        Sizing::Pixels { min, max, step } => {
            if common.size.is_some() || common.ratio.is_some() {
                let (width, height) = common.pixels();
                let (fit_width, fit_height) =
                    (fit(width, min, max, step), fit(height, min, max, step));
                if common.size.is_some() && (fit_width, fit_height) != (width, height) {
                    warnings.push(format!("The size was changed to {fit_width}x{fit_height}."));
                }
                body.insert("width".into(), fit_width.into());
                body.insert("height".into(), fit_height.into());
            }
        }
        Sizing::Ratio => {
            if let Some(ratio) = ratio_text(common) {
                body.insert("aspect_ratio".into(), ratio.into());
            }
        }
    }
    if let Some(seed) = common.seed {
        body.insert("seed".into(), seed.into());
    }
    let format = match common.output_format.as_deref() {
        None | Some("png") => "png",
        Some("jpeg" | "jpg") => "jpeg",
        Some(_) => {
            warnings.push("output_format must be png or jpeg; png is made.".into());
            "png"
        }
    };
    body.insert("output_format".into(), format.into());
    specific(input, model, &mut body, &mut warnings)?;
    add_references(model, references, &mut body);
    Ok((Value::Object(body), warnings))
}

/// Options that only some models know.
fn specific(
    input: &Input,
    model: &str,
    body: &mut Map<String, Value>,
    warnings: &mut Vec<String>,
) -> Result<(), RequestError> {
    let is_ultra = model.contains("ultra");
    let takes_steps = model.contains("dev") || model.contains("flex");
    let max_tolerance = if model.starts_with("flux-2") { 5 } else { 6 };
    for (name, value) in &input.options {
        let taken = match name.as_str() {
            "prompt_upsampling" => value.as_bool().map(Value::from),
            "safety_tolerance" => Some(whole(name, value, 0, max_tolerance)?),
            "raw" if is_ultra => value.as_bool().map(Value::from),
            "image_prompt_strength" if is_ultra => Some(fraction(name, value, 0.0, 1.0)?),
            "steps" if takes_steps => Some(whole(name, value, 1, 50)?),
            "guidance" if takes_steps => Some(fraction(name, value, 1.5, 10.0)?),
            handled if HANDLED.contains(&handled) => continue,
            _ => None,
        };
        match taken {
            Some(value) => {
                body.insert(name.clone(), value);
            }
            None => warnings.push(format!("{name} is not supported by this model.")),
        }
    }
    Ok(())
}

fn add_references(model: &str, references: &[Reference], body: &mut Map<String, Value>) {
    let edits = can_edit(model);
    for (index, reference) in references.iter().take(max_references(model)).enumerate() {
        let name = match (edits, index) {
            (false, _) => "image_prompt".to_owned(),
            (true, 0) => "input_image".to_owned(),
            (true, _) => format!("input_image_{}", index.saturating_add(1)),
        };
        body.insert(name, json!(STANDARD.encode(&reference.bytes)));
    }
}

fn fit(side: u32, min: u32, max: u32, step: u32) -> u32 {
    let rounded = side.saturating_add(step / 2) / step * step;
    rounded.clamp(min, max)
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

fn whole(name: &str, value: &Value, min: i64, max: i64) -> Result<Value, RequestError> {
    as_integer(value)
        .filter(|number| (min..=max).contains(number))
        .map(Value::from)
        .ok_or_else(|| {
            RequestError::InvalidOption(format!(
                "{name} must be an integer between {min} and {max}"
            ))
        })
}

fn fraction(name: &str, value: &Value, min: f64, max: f64) -> Result<Value, RequestError> {
    as_number(value)
        .filter(|number| (min..=max).contains(number))
        .map(Value::from)
        .ok_or_else(|| {
            RequestError::InvalidOption(format!("{name} must be between {min} and {max}"))
        })
}
