//! From a bearer token to a user: what every protected route asks first.

use std::time::Duration;

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
    if !may_enter(identity.keeper(), &profile, &claims) {
        return Err(AuthError::SessionInvalid);
    }
    Ok(Authenticated { profile, claims })
}

/// Whether a user lets the bearer of these claims in. Tokens from elsewhere are not ours to end: their
/// subject proved itself there.
fn may_enter(keeper: Keeper, profile: &Profile, claims: &Claims) -> bool {
    let is_ended = keeper == Keeper::Local && claims.issued_at < profile.tokens_valid_from;
    !profile.is_anonymized && !is_ended
}

/// Resolves when what a proven caller has open must end: with the token, or when a look at the user
/// every `pause` finds the account deleted or fallen to another owner. An outage ends nothing.
pub async fn until_ended(
    db: DatabaseConnection,
    keeper: Keeper,
    known: Authenticated,
    pause: Duration,
) {
    let Authenticated { profile, claims } = known;
    let turned_away = async {
        loop {
            tokio::time::sleep(pause).await;
            match users::Entity::find_profile(&db, profile.id).await {
                Ok(Some(now)) if may_enter(keeper, &now, &claims) => {}
                Ok(_) => return,
                Err(error) => tracing::debug!(%error, "an open connection could not be checked"),
            }
        }
    };
    tokio::select! {
        () = tokio::time::sleep(claims.time_left()) => {}
        () = turned_away => {}
    }
}

/// The token of an `Authorization` header: scheme `Bearer` in any case, then white space.
#[must_use]
pub fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.trim().split_once(char::is_whitespace)?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}
