//! The `Prefer` header (RFC 7240), as far as this service honours it: `wait`.

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderValue, request::Parts},
};

/// The longest time that a request waits for its job, seconds. Clients and proxies give up at a minute.
pub const MAX_WAIT_S: u64 = 55;

/// What the client would rather have. What cannot be read is ignored, as the RFC asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefer {
    /// Seconds that the answer may wait for the result, at most [`MAX_WAIT_S`].
    pub wait_s: Option<u64>,
}

impl Prefer {
    /// How long the answer may wait.
    #[must_use]
    pub fn wait(self) -> Duration {
        Duration::from_secs(self.wait_s.unwrap_or_default())
    }

    /// The value of `Preference-Applied`.
    #[must_use]
    pub fn applied(self) -> Option<HeaderValue> {
        let text = format!("wait={}", self.wait_s?);
        HeaderValue::from_str(&text).ok()
    }

    fn of(headers: &HeaderMap) -> Self {
        let wait_s = headers
            .get_all("prefer")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|text| text.split(','))
            .find_map(wait_of);
        Self { wait_s }
    }
}

impl<S: Sync> FromRequestParts<S> for Prefer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        Ok(Self::of(&parts.headers))
    }
}

/// The seconds of one preference: `wait=10`, `wait="10"`, or `wait` for as long as is allowed.
fn wait_of(preference: &str) -> Option<u64> {
    let preference = preference.split(';').next().unwrap_or_default();
    let (name, value) = preference
        .split_once('=')
        .map_or((preference, None), |(name, value)| (name, Some(value)));
    if !name.trim().eq_ignore_ascii_case("wait") {
        return None;
    }
    match value.map(|value| value.trim().trim_matches('"')) {
        None | Some("") => Some(MAX_WAIT_S),
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            // More digits than a number holds are more than the limit, too.
            Some(digits.parse().unwrap_or(MAX_WAIT_S).min(MAX_WAIT_S))
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_read_leniently() {
        for (text, wait_s) in [
            ("wait", Some(MAX_WAIT_S)),
            ("wait=10", Some(10)),
            ("respond-async, Wait = \"7\"; x=y", Some(7)),
            ("wait=3, wait=9", Some(3)),
            ("wait=0", Some(0)),
            ("wait=600", Some(MAX_WAIT_S)),
            ("wait=99999999999999999999999", Some(MAX_WAIT_S)),
            ("wait=-1", None),
            ("wait=soon", None),
            ("waiting=1", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("prefer", HeaderValue::from_str(text).unwrap());
            assert_eq!(Prefer::of(&headers).wait_s, wait_s, "{text}");
        }
        let mut headers = HeaderMap::new();
        headers.append("prefer", HeaderValue::from_static("return=minimal"));
        headers.append("prefer", HeaderValue::from_static("wait=4"));
        assert_eq!(Prefer::of(&headers).wait_s, Some(4));
        assert_eq!(Prefer::of(&HeaderMap::new()).wait_s, None);
    }
}
