//! Options of a request on their way to a provider's body. What is not read, and what is changed to fit,
//! becomes a warning on the job.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    generation::{RequestError, options::CommonOptions, request::Input},
    models::scalars::{as_integer, as_number},
};

/// Names that say how big the picture is.
const SIZING: [&str; 8] = [
    "width",
    "height",
    "aspect_ratio",
    "aspectRatio",
    "size",
    "ratio",
    "resolution",
    "config",
];
const COUNTING: [&str; 3] = ["num_images", "numImages", "n"];
const FORMATS: [&str; 4] = ["output_format", "outputFormat", "format", "image_format"];
/// Names that are for this service or mean nothing upstream.
const SILENT: [&str; 8] = [
    "styleId",
    "useQueue",
    "queue",
    "forceQueue",
    "useInline",
    "inline",
    "mimeType",
    "response_format",
];

/// The options of one request.
pub struct Options<'a> {
    input: &'a Input,
    common: CommonOptions,
    read: BTreeSet<&'a str>,
    warnings: Vec<String>,
    is_sized: bool,
    is_counted: bool,
}

impl<'a> Options<'a> {
    /// Reads what all providers share.
    ///
    /// # Errors
    /// [`RequestError::InvalidOption`] with the contract's text.
    pub fn of(input: &'a Input) -> Result<Self, RequestError> {
        Ok(Self {
            input,
            common: CommonOptions::parse(&input.options)?,
            read: BTreeSet::new(),
            warnings: Vec::new(),
            is_sized: false,
            is_counted: false,
        })
    }

    /// Size, ratio, count, seed and format as they were asked for.
    #[must_use]
    pub const fn common(&self) -> &CommonOptions {
        &self.common
    }

    /// Adds a warning.
    pub fn warn(&mut self, text: impl Into<String>) {
        self.warnings.push(text.into());
    }

    /// The value of an option as it is; null counts as absent.
    pub fn value(&mut self, name: &'static str) -> Option<&'a Value> {
        self.read.insert(name);
        self.input
            .options
            .get(name)
            .filter(|value| !value.is_null())
    }

    /// A text of at most `max` characters; an empty one counts as absent.
    ///
    /// # Errors
    /// [`RequestError::InvalidOption`].
    pub fn text(
        &mut self,
        name: &'static str,
        max: usize,
    ) -> Result<Option<&'a str>, RequestError> {
        let Some(value) = self.value(name) else {
            return Ok(None);
        };
        let text = value
            .as_str()
            .ok_or_else(|| invalid(format!("{name} must be a text")))?
            .trim();
        if text.chars().count() > max {
            return Err(invalid(format!(
                "{name} must have at most {max} characters"
            )));
        }
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    /// One of the allowed words, in any case.
    ///
    /// # Errors
    /// [`RequestError::InvalidOption`] that lists them.
    pub fn choice(
        &mut self,
        name: &'static str,
        allowed: &[&'static str],
    ) -> Result<Option<&'static str>, RequestError> {
        let Some(value) = self.value(name) else {
            return Ok(None);
        };
        let wanted = match value {
            Value::String(text) => text.trim().to_owned(),
            other => other.to_string(),
        };
        if wanted.is_empty() {
            return Ok(None);
        }
        allowed
            .iter()
            .find(|word| word.eq_ignore_ascii_case(&wanted))
            .map(|word| Some(*word))
            .ok_or_else(|| invalid(format!("{name} must be one of {}", allowed.join(", "))))
    }

    /// A whole number within bounds.
    ///
    /// # Errors
    /// [`RequestError::InvalidOption`].
    pub fn integer(
        &mut self,
        name: &'static str,
        min: i64,
        max: i64,
    ) -> Result<Option<i64>, RequestError> {
        let Some(value) = self.value(name) else {
            return Ok(None);
        };
        as_integer(value)
            .filter(|number| (min..=max).contains(number))
            .map(Some)
            .ok_or_else(|| invalid(format!("{name} must be an integer between {min} and {max}")))
    }

    /// A number within bounds.
    ///
    /// # Errors
    /// [`RequestError::InvalidOption`].
    pub fn number(
        &mut self,
        name: &'static str,
        min: f64,
        max: f64,
    ) -> Result<Option<f64>, RequestError> {
        let Some(value) = self.value(name) else {
            return Ok(None);
        };
        as_number(value)
            .filter(|number| (min..=max).contains(number))
            .map(Some)
            .ok_or_else(|| invalid(format!("{name} must be between {min} and {max}")))
    }

    /// A switch; also the texts `true` and `false`.
    ///
    /// # Errors
    /// [`RequestError::InvalidOption`].
    pub fn flag(&mut self, name: &'static str) -> Result<Option<bool>, RequestError> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::Bool(on)) => Ok(Some(*on)),
            Some(Value::String(text)) if text == "true" => Ok(Some(true)),
            Some(Value::String(text)) if text == "false" => Ok(Some(false)),
            Some(_) => Err(invalid(format!("{name} must be true or false"))),
        }
    }

    /// The supported ratio that is nearest to the wanted one; `None` when none was asked for.
    pub fn ratio(&mut self, supported: &[&'static str]) -> Option<&'static str> {
        self.is_sized = true;
        let wanted = self.wanted_ratio()?;
        let nearest = nearest_ratio(wanted, supported)?;
        if !is_same_ratio(wanted, nearest) {
            self.warn(format!("The aspect ratio was changed to {nearest}."));
        }
        Some(nearest)
    }

    /// The supported size that is nearest to the wanted one, by ratio first; `None` when none was asked for.
    pub fn size(&mut self, supported: &[(u32, u32)]) -> Option<(u32, u32)> {
        self.is_sized = true;
        self.wanted_ratio()?;
        let wanted = self.common.pixels();
        let (width, height) = nearest_size(wanted, supported)?;
        let is_changed = self.common.size.is_some_and(|size| size != (width, height))
            || (self.common.size.is_none()
                && self
                    .common
                    .ratio
                    .is_some_and(|ratio| !is_same_ratio(ratio, &format!("{width}:{height}"))));
        if is_changed {
            self.warn(format!("The size was changed to {width}x{height}."));
        }
        Some((width, height))
    }

    /// Says that the provider's file reads the size itself, from [`Options::common`].
    pub const fn sizes_itself(&mut self) {
        self.is_sized = true;
    }

    /// How many results are made: as many as wanted, but at most `max`.
    pub fn count(&mut self, max: u32) -> u32 {
        self.is_counted = true;
        let wanted = self.common.count;
        if wanted > max {
            self.warn(if max == 1 {
                "num_images is not supported by this model; one picture is made.".to_owned()
            } else {
                format!("This model makes at most {max} pictures at a time.")
            });
        }
        wanted.min(max)
    }

    /// The seed, brought below or to `max`.
    pub fn seed(&mut self, max: u64) -> Option<u64> {
        self.read.insert("seed");
        let seed = self.common.seed?;
        if seed > max {
            self.warn(format!(
                "The seed was changed to fit; it may be at most {max}."
            ));
            return Some(seed % max.saturating_add(1).max(1));
        }
        Some(seed)
    }

    /// The wanted format among those that are supported.
    pub fn format(&mut self, supported: &[&'static str]) -> Option<&'static str> {
        self.read.extend(FORMATS);
        let wanted = match self.common.output_format.as_deref()? {
            "jpg" => "jpeg",
            other => other,
        };
        let found = supported
            .iter()
            .find(|format| **format == wanted || (**format == "jpg" && wanted == "jpeg"));
        if found.is_none() {
            let known = supported.join(", ");
            self.warn(format!(
                "output_format is ignored; it may be one of {known}."
            ));
        }
        found.copied()
    }

    /// How many of the given pictures are used.
    pub fn references(&mut self, given: usize, max: usize) -> usize {
        if given > max {
            self.warn(match max {
                0 => "This model takes no reference images; they are ignored.".to_owned(),
                1 => "This model takes one reference image; the others are ignored.".to_owned(),
                _ => format!("This model takes {max} reference images; the others are ignored."),
            });
        }
        given.min(max)
    }

    /// The warnings, with one for every option that nobody read.
    #[must_use]
    pub fn finish(mut self) -> Vec<String> {
        let count = self.common.count;
        let is_unsized = !self.is_sized && self.wanted_ratio().is_some();
        let mut unread = Vec::new();
        for (name, value) in &self.input.options {
            let name = name.as_str();
            let is_known = self.read.contains(name)
                || SILENT.contains(&name)
                || SIZING.contains(&name)
                || (COUNTING.contains(&name) && (self.is_counted || count == 1));
            if !is_known && !value.is_null() {
                unread.push(format!("{name} is not supported by this model."));
            }
        }
        if is_unsized {
            unread.push("The size cannot be chosen with this model.".to_owned());
        }
        self.warnings.extend(unread);
        self.warnings
    }

    fn wanted_ratio(&self) -> Option<(f64, f64)> {
        self.common.ratio.or_else(|| {
            let (width, height) = self.common.size?;
            Some((f64::from(width), f64::from(height)))
        })
    }
}

fn invalid(text: String) -> RequestError {
    RequestError::InvalidOption(text)
}

/// Two numbers around `:` or `x`.
fn pair(text: &str) -> Option<(f64, f64)> {
    let (a, b) = text.split_once([':', 'x', '*'])?;
    Some((a.parse().ok()?, b.parse().ok()?))
}

fn is_same_ratio(wanted: (f64, f64), text: &str) -> bool {
    pair(text).is_some_and(|found| distance(wanted, found) < 0.01)
}

/// How far two ratios are apart, the same for both directions.
fn distance(a: (f64, f64), b: (f64, f64)) -> f64 {
    ((a.0 / a.1).ln() - (b.0 / b.1).ln()).abs()
}

/// The ratio of a list that is nearest to `wanted`.
#[must_use]
pub fn nearest_ratio(wanted: (f64, f64), supported: &[&'static str]) -> Option<&'static str> {
    supported
        .iter()
        .filter_map(|text| Some((distance(wanted, pair(text)?), *text)))
        .min_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, text)| text)
}

/// The size of a list that is nearest to `wanted`: by its ratio, and among equals by its area.
#[must_use]
pub fn nearest_size(wanted: (u32, u32), supported: &[(u32, u32)]) -> Option<(u32, u32)> {
    let float = |(width, height): (u32, u32)| (f64::from(width), f64::from(height));
    let area = |size: (u32, u32)| f64::from(size.0) * f64::from(size.1);
    let far = |size: (u32, u32)| {
        let ratio = (distance(float(wanted), float(size)) * 100.0).round();
        (ratio, (area(wanted).ln() - area(size).ln()).abs())
    };
    supported.iter().copied().min_by(|a, b| {
        let (a, b) = (far(*a), far(*b));
        a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1))
    })
}
