//! What providers of videos share: seconds, prompts, stills to begin with, and downloads of their size.

use std::time::Duration;

use serde_json::Value;

use crate::{
    generation::{
        RequestError,
        kit::{Api, Options},
        provider::{Checked, GivenPicture},
        request::Input,
    },
    models::scalars::as_number,
    net::Policy,
    storage::ImageKind,
};

/// Time a video may take to download: hundreds of megabytes on a slow line.
const DOWNLOAD_LIMIT: Duration = Duration::from_mins(10);
/// Names that the screens have for the length.
const LENGTHS: [&str; 3] = ["duration", "duration_seconds", "durationSeconds"];

/// Which addresses videos may have.
pub fn policy(api: &Api, max_bytes: u64) -> Policy {
    let mut policy = api.result_policy(max_bytes);
    policy.total = DOWNLOAD_LIMIT;
    policy
}

/// One video, with these warnings.
pub const fn one(warnings: Vec<String>) -> Checked {
    Checked {
        outputs: 1,
        warnings,
    }
}

/// The prompt, refused when it has more than `max` characters.
///
/// # Errors
/// [`RequestError::InvalidOption`].
pub fn prompt(input: &Input, max: usize) -> Result<&str, RequestError> {
    if input.prompt.chars().count() > max {
        return Err(RequestError::InvalidOption(format!(
            "The prompt must have at most {max} characters for this model."
        )));
    }
    Ok(&input.prompt)
}

/// The length that is wanted, seconds, brought to the nearest of `allowed`; `None` when none is wanted.
///
/// # Errors
/// [`RequestError::InvalidOption`] for what is no number of seconds.
pub fn seconds(options: &mut Options<'_>, allowed: &[u32]) -> Result<Option<u32>, RequestError> {
    let mut wanted = None;
    for name in LENGTHS {
        if let Some(value) = options.value(name) {
            wanted = Some((name, number(value)));
        }
    }
    let Some((name, number)) = wanted else {
        return Ok(None);
    };
    let number = number.ok_or_else(|| {
        RequestError::InvalidOption(format!("{name} must be a number of seconds"))
    })?;
    let distance = |seconds: u32| (f64::from(seconds) - number).abs();
    let nearest = allowed
        .iter()
        .copied()
        .min_by(|a, b| distance(*a).total_cmp(&distance(*b)));
    if let Some(nearest) = nearest
        && distance(nearest) > 0.01
    {
        options.warn(format!("The duration was changed to {nearest} seconds."));
    }
    Ok(nearest)
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::String(text) => text.trim().trim_end_matches(['s', 'S']).parse().ok(),
        other => as_number(other),
    }
    .filter(|number: &f64| number.is_finite() && *number > 0.0)
}

/// Refuses pictures that no model begins a video with.
///
/// # Errors
/// [`RequestError::InvalidReference`].
pub fn still(given: &GivenPicture, kinds: &[ImageKind]) -> Result<(), RequestError> {
    if kinds.contains(&given.kind) {
        return Ok(());
    }
    let known: Vec<_> = kinds.iter().map(|kind| kind.mime()).collect();
    Err(RequestError::InvalidReference(format!(
        "Frames of this model must be one of {}.",
        known.join(", ")
    )))
}

/// A text or number as text: ids come as both.
pub fn id(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
