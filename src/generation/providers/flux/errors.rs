//! FLUX's HTTP errors in our terms (providers contract 0.2 and 2).

use reqwest::StatusCode;
use serde_json::Value;

use crate::generation::error::{FaultClass, ProviderError};

/// Longest part of an upstream text that is kept for operators, characters.
const MAX_DETAIL: usize = 300;

/// The failure that a non-2xx answer means.
pub fn of_status(status: StatusCode, body: &[u8]) -> ProviderError {
    let class = match status.as_u16() {
        // 402: our account has no credits left; the user's own balance is never meant.
        // 404: an unknown model is our configuration, not the user's fault.
        401..=404 => FaultClass::Operator,
        429 => FaultClass::RateLimited,
        408 | 500..=599 => FaultClass::Transient,
        400..=499 => FaultClass::BadInput,
        _ => FaultClass::BadUpstream,
    };
    ProviderError::new(class, format!("HTTP {}: {}", status.as_u16(), detail(body)))
}

/// `detail` is a text or a list of `{loc, msg, type}`; the request's own values are left out.
fn detail(body: &[u8]) -> String {
    let json: Option<Value> = serde_json::from_slice(body).ok();
    let detail = json.as_ref().and_then(|json| json.get("detail"));
    let text = match detail {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => items
            .iter()
            .map(|item| {
                let message = item.get("msg").and_then(Value::as_str).unwrap_or("invalid");
                let field = item
                    .get("loc")
                    .and_then(Value::as_array)
                    .and_then(|path| path.last())
                    .map(ToString::to_string)
                    .unwrap_or_default();
                format!("{field} {message}")
            })
            .collect::<Vec<_>>()
            .join("; "),
        _ => "no detail".to_owned(),
    };
    text.chars().take(MAX_DETAIL).collect()
}
