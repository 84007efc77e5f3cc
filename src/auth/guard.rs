//! From a bearer token to a user: what every protected route asks first.

use sea_orm::DatabaseConnection;

use super::{
    AuthError, first_sight,
    identity::{Identity, Keeper},
    tokens::{Claims, TokenKeys},
};
use crate::models::users::{self, Profile};

/// A proven caller.
#[derive(Debug, Clone)]
pub struct Authenticated {
    pub profile: Profile,
    pub claims: Claims,
}

/// Proves `token` and reads its user in one round trip; a user not seen before is made.
///
/// # Errors
/// See [`AuthError`].
pub async fn authenticate(
    db: &DatabaseConnection,
    keys: &TokenKeys,
    identity: &dyn Identity,
    token: &str,
    welcome: i64,
) -> Result<Authenticated, AuthError> {
    let claims = keys.verify(token).await?;
    let keeper = identity.keeper().as_str();
    let known = users::Entity::find_by_identity(db, keeper, &claims.subject.to_string()).await?;
    let profile = match known {
        Some(profile) => profile,
        None => first_sight::of_token(db, identity, token, &claims, welcome).await?,
    };
    // Tokens from elsewhere are not ours to end: their subject proved itself there.
    let is_ended =
        identity.keeper() == Keeper::Local && claims.issued_at < profile.tokens_valid_from;
    if profile.is_anonymized || is_ended {
        return Err(AuthError::SessionInvalid);
    }
    Ok(Authenticated { profile, claims })
}

/// The token of an `Authorization` header: scheme `Bearer` in any case, then white space.
#[must_use]
pub fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.trim().split_once(char::is_whitespace)?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}
