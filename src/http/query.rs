//! Query strings, read leniently: unknown keys are ignored, the last of repeated keys counts.

use std::collections::HashMap;

use axum::{extract::FromRequestParts, http::request::Parts};

use super::error::{ApiError, ApiResult};

/// The decoded query of a request.
#[derive(Debug, Default)]
pub struct QueryParams(HashMap<String, String>);

impl<S: Sync> FromRequestParts<S> for QueryParams {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        let query = parts.uri.query().unwrap_or_default();
        Ok(Self(
            url::form_urlencoded::parse(query.as_bytes())
                .into_owned()
                .collect(),
        ))
    }
}

impl QueryParams {
    /// A text parameter; empty counts as absent.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        self.0
            .get(key)
            .map(String::as_str)
            .filter(|text| !text.is_empty())
    }

    /// A page size: `default` when absent, otherwise clamped to `1..=max`.
    ///
    /// # Errors
    /// 400 when it is not a whole number.
    pub fn limit(&self, default: u64, max: u64) -> ApiResult<u64> {
        let Some(text) = self.text("limit") else {
            return Ok(default);
        };
        let number: i64 = text.trim().parse().map_err(|_| {
            ApiError::validation(vec!["limit must be an integer number".to_owned()])
        })?;
        Ok(u64::try_from(number).unwrap_or(1).clamp(1, max))
    }

    /// A whole number from 0 to `max`, when there is one.
    ///
    /// # Errors
    /// 400 when it is anything else.
    pub fn up_to(&self, key: &str, max: u64) -> ApiResult<Option<u64>> {
        let Some(text) = self.text(key) else {
            return Ok(None);
        };
        text.trim()
            .parse()
            .ok()
            .filter(|number| *number <= max)
            .map(Some)
            .ok_or_else(|| {
                ApiError::validation(vec![format!(
                    "{key} must be an integer number between 0 and {max}"
                )])
            })
    }
}
