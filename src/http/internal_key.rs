//! The internal key: how our own machinery (a dispatcher, a scraper) proves itself.

use axum::http::HeaderMap;

use super::caller::bearer_of;
use crate::{auth::internal::is_same, settings::Secret};

/// Whether the bearer token of a request is the internal key (`INTERNAL_API_KEY`). While no key is set
/// nobody has it: there is no default.
#[must_use]
pub fn matches(key: Option<&Secret>, headers: &HeaderMap) -> bool {
    match (key, bearer_of(headers)) {
        (Some(key), Some(given)) => is_same(key, given),
        _ => false,
    }
}
