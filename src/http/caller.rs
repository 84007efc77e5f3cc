//! Who calls: the extractor of every protected route.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};
use loco_rs::app::AppContext;

use super::error::{ApiError, ApiResult};
use crate::{
    auth::{
        guard::{Authenticated, authenticate, bearer},
        identity,
        profiles::Profiles,
        tokens::{Claims, TokenKeys},
    },
    models::users::Profile,
    settings::Settings,
};

/// A signed-in caller, proven and read.
#[derive(Debug, Clone)]
pub struct Caller {
    pub profile: Profile,
    pub claims: Claims,
}

impl FromRequestParts<AppContext> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(
        parts: &mut Parts,
        ctx: &AppContext,
    ) -> Result<Self, Self::Rejection> {
        let token = bearer_of(&parts.headers).ok_or_else(ApiError::unauthorized)?;
        Self::by_token(ctx, token).await
    }
}

impl Caller {
    /// The caller behind a token.
    ///
    /// # Errors
    /// 401 with the guard's texts, 503 when the database is away.
    pub async fn by_token(ctx: &AppContext, token: &str) -> ApiResult<Self> {
        let keys = TokenKeys::of(ctx)?;
        let profiles = Profiles::of(ctx)?;
        let provider = identity::of(ctx)?;
        let welcome = Settings::of(ctx)?.credits.welcome;
        let Authenticated { profile, claims } =
            authenticate(&ctx.db, &profiles, &keys, provider.as_ref(), token, welcome).await?;
        Ok(Self { profile, claims })
    }
}

/// The bearer token of a request.
#[must_use]
pub fn bearer_of(headers: &HeaderMap) -> Option<&str> {
    headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(bearer)
}
