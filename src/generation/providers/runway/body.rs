//! From a checked request to Runway's JSON bodies, of pictures and of upscales.

use serde_json::{Map, Value, json};

use super::models::{Model, Outputs};
use crate::generation::{
    RequestError,
    kit::{Options, nearest_size},
    request::Input,
};

/// Largest seed that it takes.
const SEED_MAX: u64 = 4_294_967_295;
/// Factor of an upscale that names none.
const SCALE: u32 = 2;

/// What a request asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// The body, without the given pictures.
    pub body: Map<String, Value>,
    /// A tag for each given picture that is used.
    pub tags: Vec<Option<String>>,
    /// Pictures that will be made.
    pub outputs: u32,
    pub warnings: Vec<String>,
}

/// A picture of the upstream model `id`, with `count` given ones.
///
/// # Errors
/// [`RequestError::InvalidOption`] for values that the API refuses.
pub fn picture(input: &Input, id: &str, count: usize) -> Result<Wanted, RequestError> {
    let model = Model::of(id);
    let mut options = Options::of(input)?;
    if input.prompt.encode_utf16().count() > model.max_prompt {
        return Err(invalid(format!(
            "prompt must not be longer than {} characters for this model",
            model.max_prompt
        )));
    }
    if count < model.min_references {
        return Err(invalid(
            "Runway Gen-4 Turbo requires at least one reference image.",
        ));
    }
    let used = options.references(count, model.max_references);
    let tags = tags(&mut options, model, used)?;
    let mut body = Map::new();
    body.insert("model".into(), id.into());
    body.insert("promptText".into(), input.prompt.as_str().into());
    body.insert("ratio".into(), size(&mut options, model).into());
    if model.is_gen4 {
        if let Some(seed) = options.seed(SEED_MAX) {
            body.insert("seed".into(), seed.into());
        }
        if let Some(value) = options.value("contentModeration") {
            body.insert("contentModeration".into(), moderation(value)?);
        }
    }
    let outputs = outputs(&mut options, model.outputs);
    if outputs > 1 {
        body.insert("outputCount".into(), outputs.into());
    }
    if !model.formats.is_empty()
        && let Some(format) = options.format(model.formats)
    {
        body.insert("outputFormat".into(), format.into());
    }
    for (name, allowed) in model.choices {
        if let Some(word) = options.choice(name, allowed)? {
            body.insert((*name).into(), word.into());
        }
    }
    for name in model.switches {
        // Upstream refuses to edit without a picture.
        if let Some(on) = options.flag(name)?.filter(|_| used > 0 || *name != "edit") {
            body.insert((*name).into(), on.into());
        }
    }
    Ok(Wanted {
        body,
        tags,
        outputs,
        warnings: options.finish(),
    })
}

/// An enlarged copy of the given picture.
///
/// # Errors
/// [`RequestError::InvalidOption`] for values that the API refuses.
pub fn upscale(input: &Input, id: &str) -> Result<Wanted, RequestError> {
    let mut options = Options::of(input)?;
    let mut body = Map::new();
    body.insert("model".into(), id.into());
    body.insert("scaleFactor".into(), input.scale.unwrap_or(SCALE).into());
    if let Some(flavor) = options.choice("flavor", &["sublime", "photo", "photo_denoiser"])? {
        body.insert("flavor".into(), flavor.into());
    }
    for name in ["sharpen", "smartGrain", "ultraDetail"] {
        if let Some(level) = options.integer(name, 0, 100)? {
            body.insert(name.into(), level.into());
        }
    }
    Ok(Wanted {
        body,
        tags: vec![None],
        outputs: 1,
        warnings: options.finish(),
    })
}

fn outputs(options: &mut Options<'_>, outputs: Outputs) -> u32 {
    match outputs {
        Outputs::One => options.count(1),
        Outputs::UpTo(most) => options.count(most),
        Outputs::OneOrFour if options.common().count == 4 => options.count(4),
        Outputs::OneOrFour => {
            if options.count(4) > 1 {
                options.warn("This model makes one picture or four; one is made.");
            }
            1
        }
    }
}

/// The size as `width:height`: the one that was asked for when the model makes it, else the nearest.
/// A bare ratio is made as large as the model's usual size.
fn size(options: &mut Options<'_>, model: Model) -> String {
    let text = |(width, height): (u32, u32)| format!("{width}:{height}");
    options.sizes_itself();
    for name in ["ratio", "size", "resolution"] {
        let asked = options
            .value(name)
            .and_then(Value::as_str)
            .unwrap_or_default();
        let asked = asked.trim().replace(['x', 'X', '*'], ":");
        if model.ratios.iter().any(|made| text(*made) == asked) {
            return asked;
        }
    }
    let usual = model.ratios.first().copied().unwrap_or((1024, 1024));
    let (size, ratio) = (options.common().size, options.common().ratio);
    let wanted = match (size, ratio) {
        (Some(size), _) => size,
        (None, Some((a, b))) => {
            let area = f64::from(usual.0) * f64::from(usual.1);
            (side((area * a / b).sqrt()), side((area * b / a).sqrt()))
        }
        (None, None) => return text(usual),
    };
    let made = nearest_size(wanted, model.ratios).unwrap_or(usual);
    if size.is_some_and(|size| size != made) || (size.is_none() && is_other(wanted, made)) {
        options.warn(format!("The size was changed to {}x{}.", made.0, made.1));
    }
    text(made)
}

fn side(length: f64) -> u32 {
    format!("{:.0}", length.clamp(64.0, 8192.0))
        .parse()
        .unwrap_or(1024)
}

/// Whether two sizes differ in their ratio so that it can be seen.
fn is_other(a: (u32, u32), b: (u32, u32)) -> bool {
    let ratio = |(width, height): (u32, u32)| (f64::from(width) / f64::from(height)).ln();
    (ratio(a) - ratio(b)).abs() > 0.02
}

fn moderation(value: &Value) -> Result<Value, RequestError> {
    let threshold = value.get("publicFigureThreshold").and_then(Value::as_str);
    let threshold = threshold
        .filter(|threshold| ["auto", "low"].contains(threshold))
        .ok_or_else(|| invalid("contentModeration.publicFigureThreshold must be auto or low"))?;
    Ok(json!({ "publicFigureThreshold": threshold }))
}

/// The tags of the given pictures: those of the request, else `ref1`, `ref2`, ...
fn tags(
    options: &mut Options<'_>,
    model: Model,
    count: usize,
) -> Result<Vec<Option<String>>, RequestError> {
    if !model.has_tags {
        return Ok(vec![None; count]);
    }
    let given = options.value("referenceTags").and_then(Value::as_array);
    let mut tags: Vec<Option<String>> = Vec::with_capacity(count);
    for place in 0..count {
        let tag = match given.and_then(|given| given.get(place)) {
            None | Some(Value::Null) => format!("ref{}", place.saturating_add(1)),
            Some(tag) => tag
                .as_str()
                .filter(|tag| is_tag(tag))
                .unwrap_or_default()
                .to_owned(),
        };
        if tag.is_empty() || tags.contains(&Some(tag.clone())) {
            return Err(invalid(
                "referenceTags must be different words of 3 to 16 letters, digits and underscores, \
                 a letter first",
            ));
        }
        tags.push(Some(tag));
    }
    Ok(tags)
}

fn is_tag(tag: &str) -> bool {
    (3..=16).contains(&tag.len())
        && tag.starts_with(|first: char| first.is_ascii_alphabetic())
        && tag
            .chars()
            .all(|it| it.is_ascii_alphanumeric() || it == '_')
}

fn invalid(text: impl Into<String>) -> RequestError {
    RequestError::InvalidOption(text.into())
}
