//! From a checked request to the form that Ideogram's API takes, call by call.

use serde_json::{Value, json};

use super::lists;
use crate::{
    generation::{
        RequestError,
        kit::{Options, nearest_ratio},
        request::{Input, Kind},
    },
    models::scalars::as_number,
};

/// Most pictures of one call.
const MAX_PICTURES: u32 = 8;
/// Most characters of the texts beside the prompt.
const TEXT_MAX: usize = 4096;
/// Most style codes and palette colours of a request.
const MAX_CODES: usize = 8;
/// The largest seed.
const MAX_SEED: u64 = 2_147_483_647;

/// The texts of a form, and its files by the number of a reference.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    /// Segments below the base address.
    pub path: Vec<String>,
    pub texts: Vec<(&'static str, String)>,
    pub files: Vec<(&'static str, usize)>,
    /// Pictures that it asks for.
    pub outputs: u32,
    pub warnings: Vec<String>,
}

/// The form for a request with this many references, the first of which has these sides.
///
/// # Errors
/// [`RequestError::InvalidOption`] for values that the API refuses.
pub fn plan(
    input: &Input,
    model: &str,
    references: usize,
    first_sides: Option<(u32, u32)>,
) -> Result<Plan, RequestError> {
    match input.kind {
        Kind::Upscale => upscale(input, model),
        Kind::Image if model.contains("v4") => fourth(input, model, references),
        Kind::Image | Kind::Video | Kind::Scene => third(input, model, references, first_sides),
    }
}

fn third(
    input: &Input,
    model: &str,
    references: usize,
    first_sides: Option<(u32, u32)>,
) -> Result<Plan, RequestError> {
    let mut options = Options::of(input)?;
    let files = files(input.kind, references, &mut options)?;
    let has = |wanted: &str| files.iter().any(|(name, _)| *name == wanted);
    let is_remix = has("image");
    let mut texts = vec![("prompt", input.prompt.clone())];
    texts.push(shape(&mut options, first_sides.filter(|_| is_remix)));
    let speed = choice(
        &mut options,
        ["rendering_speed", "renderingSpeed"],
        lists::SPEEDS,
    )?
    // The same thing by the name that Ideogram's own site gives it.
    .map_or("DEFAULT", |speed| {
        if speed == "BALANCED" {
            "DEFAULT"
        } else {
            speed
        }
    });
    texts.push(("rendering_speed", speed.to_owned()));
    let magic = choice(&mut options, ["magic_prompt", "magicPrompt"], lists::MAGIC)?;
    texts.push(("magic_prompt", magic.unwrap_or("AUTO").to_owned()));
    let outputs = options.count(MAX_PICTURES);
    texts.push(("num_images", outputs.to_string()));
    if let Some(seed) = options.seed(MAX_SEED) {
        texts.push(("seed", seed.to_string()));
    }
    let negative = options
        .text("negative_prompt", TEXT_MAX)?
        .or(options.text("negativePrompt", TEXT_MAX)?);
    texts.extend(negative.map(|text| ("negative_prompt", text.to_owned())));
    if is_remix {
        let weight =
            options
                .integer("image_weight", 1, 100)?
                .or(options.integer("imageWeight", 1, 100)?);
        texts.extend(weight.map(|weight| ("image_weight", weight.to_string())));
    }
    let (has_person, has_style) = (
        has("character_reference_images"),
        has("style_reference_images"),
    );
    style(&mut options, &mut texts, has_person, has_style)?;
    texts.extend(palette(&mut options)?.map(|palette| ("color_palette", palette.to_string())));
    let call = if is_remix { "remix" } else { "generate" };
    Ok(Plan {
        path: vec!["v1".to_owned(), model.to_owned(), call.to_owned()],
        texts,
        files,
        outputs,
        warnings: options.finish(),
    })
}

/// A word under either of two spellings of an option's name.
fn choice(
    options: &mut Options<'_>,
    names: [&'static str; 2],
    words: &[&'static str],
) -> Result<Option<&'static str>, RequestError> {
    let [first, second] = names;
    let word = options.choice(first, words)?;
    Ok(word.or(options.choice(second, words)?))
}

/// Which reference goes where. A scene is its own picture, remixed with the person as the character;
/// otherwise `reference_type` says what the given pictures are for.
fn files(
    kind: Kind,
    references: usize,
    options: &mut Options<'_>,
) -> Result<Vec<(&'static str, usize)>, RequestError> {
    if kind == Kind::Scene {
        return Ok(vec![("image", 0), ("character_reference_images", 1)]);
    }
    let names = ["reference_type", "referenceType"];
    let wanted = choice(options, names, &["remix", "style", "character"])?;
    let first = match wanted {
        Some("style") => "style_reference_images",
        Some("character") => "character_reference_images",
        _ => "image",
    };
    Ok((0..references)
        .map(|n| {
            (
                if n == 0 {
                    first
                } else {
                    "style_reference_images"
                },
                n,
            )
        })
        .collect())
}

/// A size that the API knows, or the nearest ratio: of what was asked for, or of the given picture.
fn shape(options: &mut Options<'_>, source: Option<(u32, u32)>) -> (&'static str, String) {
    if let Some((width, height)) = options.common().size {
        let size = format!("{width}x{height}");
        if lists::has_resolution(&size) {
            options.sizes_itself();
            return ("resolution", size);
        }
        options.warn("This model does not make this size; only its aspect ratio is used.");
    }
    let asked = options.ratio(lists::RATIOS);
    let given = || {
        let (width, height) = source?;
        nearest_ratio((f64::from(width), f64::from(height)), lists::RATIOS)
    };
    (
        "aspect_ratio",
        asked.or_else(given).unwrap_or("1x1").to_owned(),
    )
}

fn style(
    options: &mut Options<'_>,
    texts: &mut Vec<(&'static str, String)>,
    has_person: bool,
    has_style: bool,
) -> Result<(), RequestError> {
    let types = if has_person {
        lists::CHARACTER_STYLE_TYPES
    } else {
        lists::STYLE_TYPES
    };
    let style_type = choice(options, ["style_type", "styleType"], types)?;
    let codes = style_codes(options)?;
    if !codes.is_empty() && (style_type.is_some() || has_style) {
        return Err(RequestError::InvalidOption(
            "style_codes cannot be combined with style_type or style references".to_owned(),
        ));
    }
    texts.extend(style_type.map(|style_type| ("style_type", style_type.to_owned())));
    let preset = options
        .text("style_preset", TEXT_MAX)?
        .or(options.text("stylePreset", TEXT_MAX)?)
        .filter(|name| !name.eq_ignore_ascii_case("AUTO"));
    if let Some(name) = preset {
        let preset = lists::style_preset(name).ok_or_else(|| {
            RequestError::InvalidOption("style_preset is none of the known presets".to_owned())
        })?;
        texts.push(("style_preset", preset.to_owned()));
    }
    texts.extend(codes.into_iter().map(|code| ("style_codes", code)));
    Ok(())
}

fn style_codes(options: &mut Options<'_>) -> Result<Vec<String>, RequestError> {
    let Some(value) = options.value("style_codes").or(options.value("styleCodes")) else {
        return Ok(Vec::new());
    };
    let is_code =
        |code: &&str| code.len() == 8 && code.bytes().all(|byte| byte.is_ascii_hexdigit());
    let code = |value: &Value| value.as_str().filter(is_code).map(str::to_owned);
    value
        .as_array()
        .filter(|codes| codes.len() <= MAX_CODES)
        .and_then(|codes| codes.iter().map(code).collect::<Option<Vec<_>>>())
        .ok_or_else(|| {
            RequestError::InvalidOption(format!(
                "style_codes must be at most {MAX_CODES} codes of 8 hexadecimal digits"
            ))
        })
}

/// A palette by name, or by its colours with their weights.
fn palette(options: &mut Options<'_>) -> Result<Option<Value>, RequestError> {
    let Some(value) = options
        .value("color_palette")
        .or(options.value("colorPalette"))
    else {
        return Ok(None);
    };
    read_palette(value).map(Some).ok_or_else(|| {
        RequestError::InvalidOption(format!(
            "color_palette must have a name ({}) or up to {MAX_CODES} members, each with color_hex and \
             perhaps a color_weight between 0.05 and 1",
            lists::PALETTES.join(", ")
        ))
    })
}

fn read_palette(value: &Value) -> Option<Value> {
    let name = value.as_str().or_else(|| value.get("name")?.as_str());
    if let Some(name) = name {
        let known = lists::PALETTES
            .iter()
            .find(|known| known.eq_ignore_ascii_case(name))?;
        return Some(json!({ "name": known }));
    }
    let members = value.get("members")?.as_array()?;
    if members.is_empty() || members.len() > MAX_CODES {
        return None;
    }
    let members: Vec<_> = members.iter().map(colour).collect::<Option<_>>()?;
    Some(json!({ "members": members }))
}

fn colour(member: &Value) -> Option<Value> {
    let hex = member.get("color_hex")?.as_str()?;
    let digits = hex.strip_prefix('#').unwrap_or(hex);
    if digits.len() != 6 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let mut colour = json!({ "color_hex": format!("#{}", digits.to_ascii_uppercase()) });
    if let Some(weight) = member.get("color_weight") {
        let weight = as_number(weight).filter(|weight| (0.05..=1.0).contains(weight))?;
        colour["color_weight"] = weight.into();
    }
    Some(colour)
}

fn fourth(input: &Input, model: &str, references: usize) -> Result<Plan, RequestError> {
    let mut options = Options::of(input)?;
    options.references(references, 0);
    let mut texts = vec![("text_prompt", input.prompt.clone())];
    let size = options.size(lists::RESOLUTIONS_V4);
    texts.extend(size.map(|(width, height)| ("resolution", format!("{width}x{height}"))));
    let speed = choice(
        &mut options,
        ["rendering_speed", "renderingSpeed"],
        lists::SPEEDS_V4,
    )?;
    texts.push(("rendering_speed", speed.unwrap_or("DEFAULT").to_owned()));
    Ok(Plan {
        path: vec!["v1".to_owned(), model.to_owned(), "generate".to_owned()],
        texts,
        files: Vec::new(),
        outputs: options.count(1),
        warnings: options.finish(),
    })
}

fn upscale(input: &Input, model: &str) -> Result<Plan, RequestError> {
    if input.scale.is_some_and(|scale| scale != 2) {
        return Err(RequestError::InvalidOption(
            "scale must be 2 for this model".to_owned(),
        ));
    }
    let mut options = Options::of(input)?;
    let mut request = json!({
        "resemblance": options.integer("resemblance", 1, 100)?.unwrap_or(50),
        "detail": options.integer("detail", 1, 100)?.unwrap_or(50),
    });
    if let Some(prompt) = options.text("prompt", TEXT_MAX)? {
        request["prompt"] = prompt.into();
    }
    if let Some(magic) = choice(&mut options, ["magic_prompt", "magicPrompt"], lists::MAGIC)? {
        request["magic_prompt_option"] = magic.into();
    }
    if let Some(seed) = options.seed(MAX_SEED) {
        request["seed"] = seed.into();
    }
    Ok(Plan {
        path: vec![model.to_owned()],
        texts: vec![("image_request", request.to_string())],
        files: vec![("image_file", 0)],
        outputs: options.count(1),
        warnings: options.finish(),
    })
}
