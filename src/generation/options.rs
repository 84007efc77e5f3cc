//! Options that all image providers share, with the texts of the generation contract 3.5.

use serde_json::{Map, Value};

use super::RequestError;
use crate::models::scalars::{as_integer, as_number};

/// Most pictures of one request, by the name of the option (generation contract 3.5 and 3.6).
const MAX_COUNTS: [(&str, i64); 3] = [("num_images", 4), ("numImages", 4), ("n", 10)];
/// Bounds of a side, pixels.
const MIN_SIDE: i64 = 64;
const MAX_SIDE: i64 = 2048;
/// Area that a bare aspect ratio is drawn at, pixels.
const RATIO_AREA: f64 = 1024.0 * 1024.0;
/// Sides that come from a ratio are multiples of this.
const RATIO_STEP: f64 = 32.0;

/// Options read from a request, with all their spellings.
#[derive(Debug, Clone, PartialEq)]
pub struct CommonOptions {
    /// Pictures wanted.
    pub count: u32,
    /// Exact size, when asked for.
    pub size: Option<(u32, u32)>,
    /// Aspect ratio as two positive numbers, when asked for.
    pub ratio: Option<(f64, f64)>,
    pub seed: Option<u64>,
    pub output_format: Option<String>,
}

impl CommonOptions {
    /// Reads and checks the options.
    ///
    /// # Errors
    /// [`RequestError::InvalidOption`] with the contract's text.
    pub fn parse(options: &Map<String, Value>) -> Result<Self, RequestError> {
        let first = |names: &[&str]| {
            names
                .iter()
                .find_map(|name| options.get(*name).filter(|value| !value.is_null()))
        };
        let mut count = 1;
        if let Some((value, name, most)) = MAX_COUNTS.iter().find_map(|(name, most)| {
            let value = options.get(*name).filter(|value| !value.is_null())?;
            Some((value, if *name == "n" { "n" } else { "num_images" }, *most))
        }) {
            count = as_integer(value)
                .filter(|count| (1..=most).contains(count))
                .and_then(|count| u32::try_from(count).ok())
                .ok_or_else(|| {
                    invalid(format!("{name} must be an integer between 1 and {most}"))
                })?;
        }
        let width = side(first(&["width"]), "width")?;
        let height = side(first(&["height"]), "height")?;
        let mut size = match (width, height) {
            (Some(width), Some(height)) => Some((width, height)),
            (Some(side), None) | (None, Some(side)) => Some((side, side)),
            (None, None) => None,
        };
        let nested = options
            .get("config")
            .and_then(|config| config.pointer("/imageConfig/aspectRatio"));
        let mut ratio = None;
        if let Some(value) = first(&["aspect_ratio", "aspectRatio"]).or(nested) {
            ratio = Some(aspect_ratio(value)?);
        }
        // `size: "1024x1024"`, `"1328*1328"` and Runway's `ratio: "1920:1080"` name pixels; a
        // `ratio` of small numbers is an aspect ratio.
        for name in ["size", "resolution", "ratio"] {
            if let Some((a, b)) = options.get(name).and_then(Value::as_str).and_then(pair) {
                if a >= 64.0 && b >= 64.0 {
                    size = size.or(pixels(a, b));
                } else {
                    ratio = ratio.or(Some((a, b)));
                }
            }
        }
        let seed = first(&["seed"])
            .map(|value| {
                as_integer(value)
                    .and_then(|seed| u64::try_from(seed).ok())
                    .ok_or_else(|| invalid("seed must be a whole number, 0 or above".to_owned()))
            })
            .transpose()?;
        let output_format = first(&["output_format", "outputFormat", "format", "image_format"])
            .and_then(Value::as_str)
            .map(str::to_lowercase);
        Ok(Self {
            count,
            size,
            ratio,
            seed,
            output_format,
        })
    }

    /// The size in pixels: as asked, from the ratio, or square.
    #[must_use]
    pub fn pixels(&self) -> (u32, u32) {
        if let Some(size) = self.size {
            return size;
        }
        let Some((a, b)) = self.ratio else {
            return (1024, 1024);
        };
        let width = (RATIO_AREA * a / b).sqrt();
        let height = (RATIO_AREA * b / a).sqrt();
        let step = |side: f64| {
            let rounded = ((side / RATIO_STEP).round() * RATIO_STEP).clamp(64.0, 2048.0);
            format!("{rounded:.0}").parse().unwrap_or(1024)
        };
        (step(width), step(height))
    }
}

fn invalid(message: String) -> RequestError {
    RequestError::InvalidOption(message)
}

fn side(value: Option<&Value>, name: &str) -> Result<Option<u32>, RequestError> {
    let Some(value) = value else { return Ok(None) };
    let number = as_number(value).ok_or_else(|| invalid(format!("{name} must be a number")))?;
    as_integer(value)
        .filter(|side| (MIN_SIDE..=MAX_SIDE).contains(side))
        .filter(|_| number.fract() == 0.0)
        .and_then(|side| u32::try_from(side).ok())
        .map(Some)
        .ok_or_else(|| invalid(format!("{name} must be between {MIN_SIDE} and {MAX_SIDE}")))
}

fn aspect_ratio(value: &Value) -> Result<(f64, f64), RequestError> {
    value
        .as_str()
        .and_then(pair)
        .filter(|(a, b)| (0.1..=10.0).contains(&(a / b)))
        .ok_or_else(|| invalid("aspect_ratio must be like 1:1, 16:9, or 16x9".to_owned()))
}

/// Two positive numbers around `:`, `x` or `*`; some phones' screens are `19.5:9`.
fn pair(text: &str) -> Option<(f64, f64)> {
    let (a, b) = text.trim().split_once([':', 'x', 'X', '*'])?;
    let number = |text: &str| {
        let text = text.trim();
        let is_plain = text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.');
        let number = text.parse::<f64>().ok().filter(|_| is_plain)?;
        (0.01..=1e6).contains(&number).then_some(number)
    };
    Some((number(a)?, number(b)?))
}

fn pixels(a: f64, b: f64) -> Option<(u32, u32)> {
    let side = |side: f64| format!("{:.0}", side.clamp(64.0, 2048.0)).parse().ok();
    Some((side(a)?, side(b)?))
}
