//! From a checked request to Recraft's fields: JSON for pictures from a prompt, a form with the
//! picture for everything that begins with one.

use serde_json::{Map, Value};

use crate::generation::{RequestError, kit::Options, request::Input};

/// The generations of models, which differ in sizes and options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    /// V2 and V3: styles, short prompts.
    Styled,
    /// V4 and later: no styles, long prompts. The pro models make twice the size.
    Plain { is_pro: bool },
}

const STYLED_SIZES: [(u32, u32); 15] = [
    (1024, 1024),
    (1365, 1024),
    (1024, 1365),
    (1536, 1024),
    (1024, 1536),
    (1820, 1024),
    (1024, 1820),
    (1024, 2048),
    (2048, 1024),
    (1434, 1024),
    (1024, 1434),
    (1024, 1280),
    (1280, 1024),
    (1024, 1707),
    (1707, 1024),
];
const PLAIN_SIZES: [(u32, u32); 14] = [
    (1024, 1024),
    (1536, 768),
    (768, 1536),
    (1280, 832),
    (832, 1280),
    (1216, 896),
    (896, 1216),
    (1152, 896),
    (896, 1152),
    (832, 1344),
    (1280, 896),
    (896, 1280),
    (1344, 768),
    (768, 1344),
];
/// Most pictures of one request.
const COUNT_MAX: u32 = 6;
/// Largest seed that is known to be taken.
const SEED_MAX: u64 = 4_294_967_295;
/// How far a picture goes from the given one when the request does not say.
const STRENGTH: f64 = 0.5;
/// Longest name of a style, and longest negative prompt, characters.
const NAME_MAX: usize = 100;
const NEGATIVE_MAX: usize = 1000;
/// Most texts of a layout.
const LAYOUT_MAX: usize = 100;

impl Family {
    fn of(model: &str) -> Self {
        if model.starts_with("recraftv2") || model.starts_with("recraftv3") {
            Self::Styled
        } else {
            Self::Plain {
                is_pro: model.contains("_pro"),
            }
        }
    }

    const fn max_prompt(self) -> usize {
        match self {
            Self::Styled => 1000,
            Self::Plain { .. } => 10_000,
        }
    }

    fn sizes(self) -> Vec<(u32, u32)> {
        match self {
            Self::Styled => STYLED_SIZES.to_vec(),
            Self::Plain { is_pro: false } => PLAIN_SIZES.to_vec(),
            Self::Plain { is_pro: true } => PLAIN_SIZES
                .map(|(width, height)| (width.saturating_mul(2), height.saturating_mul(2)))
                .to_vec(),
        }
    }
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    pub fields: Map<String, Value>,
    /// Pictures that will be made.
    pub count: u32,
    pub warnings: Vec<String>,
}

/// The fields for `model`, with or without a given picture, how many pictures they ask for, and what
/// of the request they leave out or change. Those beside a picture are texts and numbers only.
///
/// # Errors
/// [`RequestError::InvalidOption`] for values that the API refuses.
pub fn build(input: &Input, model: &str, references: usize) -> Result<Wanted, RequestError> {
    let family = Family::of(model);
    let mut options = Options::of(input)?;
    if input.prompt.chars().count() > family.max_prompt() {
        return Err(invalid(format!(
            "prompt must not be longer than {} characters for this model",
            family.max_prompt()
        )));
    }
    let has_picture = options.references(references, 1) > 0;
    let count = options.count(COUNT_MAX);
    let mut fields = Map::new();
    fields.insert("prompt".into(), input.prompt.as_str().into());
    fields.insert("model".into(), model.into());
    fields.insert("n".into(), count.into());
    fields.insert("response_format".into(), "url".into());
    if let Some(seed) = options.seed(SEED_MAX) {
        fields.insert("random_seed".into(), seed.into());
    }
    if let Some(format) = options.format(&["png", "webp"]) {
        fields.insert("image_format".into(), format.into());
    }
    if has_picture {
        let strength = options.number("strength", 0.0, 1.0)?.unwrap_or(STRENGTH);
        fields.insert("strength".into(), strength.into());
    } else {
        if let Some((width, height)) = options.size(&family.sizes()) {
            fields.insert("size".into(), format!("{width}x{height}").into());
        }
        if let Some(value) = options.value("controls") {
            fields.insert("controls".into(), controls(value)?);
        }
    }
    if family == Family::Styled {
        let takes_layout = model.starts_with("recraftv3") && !has_picture;
        styles(&mut options, takes_layout, &mut fields)?;
    }
    let style = fields
        .get("style")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if model.ends_with("_vector") || is_vector(style) {
        return Err(invalid(
            "Vector pictures (SVG) are not supported; choose another style or model.",
        ));
    }
    Ok(Wanted {
        fields,
        count,
        warnings: options.finish(),
    })
}

fn styles(
    options: &mut Options<'_>,
    takes_layout: bool,
    fields: &mut Map<String, Value>,
) -> Result<(), RequestError> {
    for (name, max) in [
        ("style", NAME_MAX),
        ("substyle", NAME_MAX),
        ("style_id", NAME_MAX),
        ("negative_prompt", NEGATIVE_MAX),
    ] {
        if let Some(text) = options.text(name, max)? {
            fields.insert(name.into(), text.into());
        }
    }
    if fields.contains_key("style") && fields.contains_key("style_id") {
        return Err(invalid("style and style_id cannot be given together"));
    }
    if takes_layout && let Some(layout) = options.value("text_layout") {
        if layout
            .as_array()
            .is_none_or(|texts| texts.len() > LAYOUT_MAX)
        {
            return Err(invalid("text_layout must be a list of {text, bbox}"));
        }
        fields.insert("text_layout".into(), layout.clone());
    }
    Ok(())
}

/// Whether pictures of a style are SVG, which is not stored here.
fn is_vector(style: &str) -> bool {
    let family = style.split('/').next().unwrap_or_default();
    ["vector_illustration", "icon", "vector art"].contains(&family.to_lowercase().as_str())
}

fn controls(value: &Value) -> Result<Value, RequestError> {
    let fields = value
        .as_object()
        .ok_or_else(|| invalid("controls must be an object"))?;
    let level = fields
        .get("artistic_level")
        .filter(|level| !level.is_null());
    if level.is_some_and(|level| level.as_u64().is_none_or(|level| level > 5)) {
        return Err(invalid(
            "controls.artistic_level must be an integer between 0 and 5",
        ));
    }
    let known = ["colors", "background_color", "artistic_level", "no_text"];
    Ok(fields
        .iter()
        .filter(|(name, value)| known.contains(&name.as_str()) && !value.is_null())
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect())
}

fn invalid(text: impl Into<String>) -> RequestError {
    RequestError::InvalidOption(text.into())
}
