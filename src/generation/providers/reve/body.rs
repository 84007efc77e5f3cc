//! From a checked request to Reve's JSON bodies, of both versions of its API.

use serde_json::{Map, Value, json};

use crate::{
    generation::{RequestError, kit::Options, request::Input},
    models::scalars::as_integer,
};

/// A model upstream: the version of the API that has it, and its name there. Settings write
/// `v2/latest`; an id without a version of the API is of the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Model<'a> {
    pub api: Version,
    pub name: &'a str,
}

/// The versions of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    V1,
    V2,
}

const V1_RATIOS: [&str; 7] = ["16:9", "3:2", "4:3", "1:1", "3:4", "2:3", "9:16"];
const V2_RATIOS: [&str; 17] = [
    "4:1", "3:1", "21:9", "2:1", "17:9", "16:9", "3:2", "4:3", "5:4", "1:1", "4:5", "3:4", "2:3",
    "9:16", "1:2", "1:3", "1:4",
];
/// Most steps after the picture is made.
const STEPS_MAX: usize = 4;
/// Longest side that `fit_image` takes, pixels.
const FIT_MAX: i64 = 4096;
/// Factor of an upscale that names none.
const SCALE: u32 = 2;
/// What an upscale says to the endpoint that edits.
const KEEP: &str = "Keep the picture exactly as it is: same content, colors and framing.";

impl<'a> Model<'a> {
    /// The model of an upstream id.
    #[must_use]
    pub fn parse(id: &'a str) -> Self {
        match id.split_once('/') {
            Some(("v2", name)) => Self {
                api: Version::V2,
                name,
            },
            Some((_, name)) => Self {
                api: Version::V1,
                name,
            },
            None => Self {
                api: Version::V1,
                name: id,
            },
        }
    }

    /// How many reference images it takes.
    #[must_use]
    pub const fn max_references(self) -> usize {
        match self.api {
            Version::V1 => 6,
            Version::V2 => 8,
        }
    }

    /// Longest prompt, characters.
    const fn max_prompt(self) -> usize {
        match self.api {
            Version::V1 => 2560,
            Version::V2 => 4000,
        }
    }

    /// Its name at an endpoint: the dated names of one (`reve-edit@20250915`) are not known to the
    /// others.
    fn name_at(self, endpoint: &str) -> &'a str {
        let is_elsewhere = ["create", "edit", "remix"]
            .iter()
            .any(|other| *other != endpoint && self.name.starts_with(&format!("reve-{other}")));
        if is_elsewhere { "latest" } else { self.name }
    }
}

/// A request to one of the endpoints.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    pub path: [&'static str; 3],
    /// Type of the picture that is wanted.
    pub accept: &'static str,
    pub body: Value,
}

/// The request for `model` with `count` given pictures, and what it leaves out or changes of what
/// was asked. `pictures` (base64) are empty as long as they are not stored.
///
/// # Errors
/// [`RequestError::InvalidOption`] for values that the API refuses.
pub fn build(
    input: &Input,
    model: Model<'_>,
    count: usize,
    pictures: &[String],
) -> Result<(Request, Vec<String>), RequestError> {
    let mut options = Options::of(input)?;
    let prompt = input.prompt.as_str();
    if prompt.chars().count() > model.max_prompt() {
        return Err(RequestError::InvalidOption(format!(
            "prompt must not be longer than {} characters for this model",
            model.max_prompt()
        )));
    }
    options.count(1);
    let used = options.references(count, model.max_references());
    let pictures = pictures.get(..used).unwrap_or(pictures);
    let (version, endpoint, body) = match (model.api, used) {
        (Version::V1, 0) => ("v1", "create", json!({ "prompt": prompt })),
        (Version::V1, 1) => {
            let picture = pictures.first();
            (
                "v1",
                "edit",
                json!({ "edit_instruction": prompt, "reference_image": picture }),
            )
        }
        (Version::V1, _) => (
            "v1",
            "remix",
            json!({ "prompt": prompt, "reference_images": pictures }),
        ),
        (Version::V2, 0) => ("v2", "create", json!({ "prompt": prompt })),
        (Version::V2, _) => {
            let pictures: Vec<_> = pictures
                .iter()
                .map(|data| json!({ "data": data }))
                .collect();
            (
                "v2",
                "create",
                json!({ "prompt": prompt, "references": pictures }),
            )
        }
    };
    let mut more = Map::new();
    more.insert("version".into(), model.name_at(endpoint).into());
    let ratio = match model.api {
        Version::V1 => options.ratio(&V1_RATIOS),
        Version::V2 => options.ratio(&V2_RATIOS),
    };
    if let Some(ratio) = ratio {
        more.insert("aspect_ratio".into(), ratio.into());
    }
    if model.api == Version::V1
        && let Some(effort) = options.integer("test_time_scaling", 1, 15)?
    {
        more.insert("test_time_scaling".into(), effort.into());
    }
    if let Some(value) = options.value("postprocessing") {
        more.insert("postprocessing".into(), steps(value)?);
    }
    let request = Request {
        path: [version, "image", endpoint],
        accept: accept(&mut options),
        body: joined(body, more),
    };
    Ok((request, options.finish()))
}

/// The request that enlarges a picture: an edit that changes nothing, enlarged afterwards.
///
/// # Errors
/// [`RequestError::InvalidOption`] for values that the API refuses.
pub fn upscale(
    input: &Input,
    model: Model<'_>,
    picture: Option<&String>,
) -> Result<(Request, Vec<String>), RequestError> {
    let mut options = Options::of(input)?;
    let scale = input.scale.unwrap_or(SCALE);
    options.warn("Reve redraws a picture to enlarge it; small details may change.");
    let request = Request {
        path: ["v1", "image", "edit"],
        accept: accept(&mut options),
        body: json!({
            "edit_instruction": KEEP,
            "reference_image": picture,
            "version": model.name_at("edit"),
            "postprocessing": [{ "process": "upscale", "upscale_factor": scale }],
        }),
    };
    Ok((request, options.finish()))
}

fn accept(options: &mut Options<'_>) -> &'static str {
    match options.format(&["png", "jpeg", "webp"]) {
        Some("jpeg") => "image/jpeg",
        Some("webp") => "image/webp",
        _ => "image/png",
    }
}

fn joined(mut body: Value, more: Map<String, Value>) -> Value {
    if let Some(fields) = body.as_object_mut() {
        fields.extend(more);
    }
    body
}

fn invalid(text: impl Into<String>) -> RequestError {
    RequestError::InvalidOption(text.into())
}

/// Checks the steps that come after the picture; fields that the API does not know are left out.
fn steps(value: &Value) -> Result<Value, RequestError> {
    let steps = value
        .as_array()
        .filter(|steps| steps.len() <= STEPS_MAX)
        .ok_or_else(|| {
            invalid(format!(
                "postprocessing must be a list of at most {STEPS_MAX} steps"
            ))
        })?;
    steps
        .iter()
        .map(step)
        .collect::<Result<Vec<_>, _>>()
        .map(Value::from)
}

fn step(step: &Value) -> Result<Value, RequestError> {
    let bounded = |name: &str, min: i64, max: i64| {
        let value = step.get(name).filter(|value| !value.is_null());
        value
            .map(|value| {
                as_integer(value)
                    .filter(|number| (min..=max).contains(number))
                    .ok_or_else(|| {
                        invalid(format!(
                            "postprocessing.{name} must be an integer between {min} and {max}"
                        ))
                    })
            })
            .transpose()
    };
    let process = step
        .get("process")
        .and_then(Value::as_str)
        .unwrap_or_default();
    match process {
        "remove_background" => Ok(json!({ "process": process })),
        "upscale" => {
            let factor = bounded("upscale_factor", 2, 4)?.unwrap_or(2);
            Ok(json!({ "process": process, "upscale_factor": factor }))
        }
        "fit_image" => {
            let mut sides = Map::new();
            for name in ["max_dim", "max_width", "max_height"] {
                if let Some(side) = bounded(name, 1, FIT_MAX)? {
                    sides.insert(name.into(), side.into());
                }
            }
            Ok(joined(json!({ "process": process }), sides))
        }
        "effect" => {
            let name = step
                .get("effect_name")
                .and_then(Value::as_str)
                .unwrap_or_default();
            if name.is_empty() {
                return Err(invalid("postprocessing.effect_name must be a text"));
            }
            let mut kept = Map::new();
            if let Some(parameters) = step.get("effect_parameters").filter(|it| it.is_object()) {
                kept.insert("effect_parameters".into(), parameters.clone());
            }
            Ok(joined(
                json!({ "process": process, "effect_name": name }),
                kept,
            ))
        }
        _ => Err(invalid(
            "postprocessing.process must be one of upscale, remove_background, fit_image, effect",
        )),
    }
}
