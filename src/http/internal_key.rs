//! The internal key: how our own machinery (a dispatcher, a scraper) proves itself.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, request::Parts},
};
use loco_rs::app::AppContext;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{caller::bearer_of, error::ApiError};
use crate::settings::{Secret, Settings};

/// A caller that knows the internal key (`INTERNAL_API_KEY`) and sends it as bearer token. While no key
/// is set nobody does: there is no default.
#[derive(Debug, Clone, Copy)]
pub struct InternalKey;

impl FromRequestParts<AppContext> for InternalKey {
    type Rejection = ApiError;

    async fn from_request_parts(
        parts: &mut Parts,
        ctx: &AppContext,
    ) -> Result<Self, Self::Rejection> {
        let settings = Settings::of(ctx)?;
        if matches(settings.http.internal_api_key.as_ref(), &parts.headers) {
            Ok(Self)
        } else {
            Err(ApiError::unauthorized())
        }
    }
}

/// Whether the bearer token of a request is the internal key. The time it takes tells neither how much
/// of the key is right nor how long it is.
#[must_use]
pub fn matches(key: Option<&Secret>, headers: &HeaderMap) -> bool {
    let (Some(key), Some(given)) = (key, bearer_of(headers)) else {
        return false;
    };
    let digest = |text: &str| Sha256::digest(text.as_bytes());
    digest(key.expose()).ct_eq(&digest(given)).into()
}
