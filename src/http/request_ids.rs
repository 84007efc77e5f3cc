//! Request and correlation ids: accepted or made, known everywhere in the request, returned.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

/// Id of this one request.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Id that ties several requests and their jobs together.
pub const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");

/// Longest id that is taken from a caller, characters.
const MAX_LENGTH: usize = 128;

tokio::task_local! {
    static CURRENT: RequestIds;
}

/// The ids of one request, and which family of routes it addresses.
#[derive(Debug, Clone)]
pub struct RequestIds {
    pub request_id: String,
    pub correlation_id: String,
    /// Whether the path is below `/auth/v1`, whose errors have GoTrue's shape.
    pub is_gotrue: bool,
}

impl RequestIds {
    /// Takes the caller's ids where they are usable, makes new ones otherwise.
    #[must_use]
    pub fn of(headers: &HeaderMap, path: &str) -> Self {
        Self {
            request_id: accept_or_make(headers.get(&REQUEST_ID)),
            correlation_id: accept_or_make(headers.get(&CORRELATION_ID)),
            is_gotrue: path.starts_with("/auth/v1/") || path == "/auth/v1",
        }
    }

    /// Runs `future` with these ids as the current ones.
    pub async fn scope<F: Future>(self, future: F) -> F::Output {
        CURRENT.scope(self, future).await
    }

    /// The ids of the request that is being handled, if any.
    #[must_use]
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok()
    }
}

/// Ids come from anybody and go into logs and headers, so only harmless characters are taken.
fn accept_or_make(given: Option<&HeaderValue>) -> String {
    given
        .and_then(|value| value.to_str().ok())
        .filter(|text| {
            !text.is_empty()
                && text.len() <= MAX_LENGTH
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
        })
        .map_or_else(|| Uuid::new_v4().to_string(), str::to_owned)
}
