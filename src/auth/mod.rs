//! Who somebody is: tokens, passwords, own accounts, first sight of a user.

pub mod first_sight;
pub mod google;
pub mod google_flow;
pub mod google_tokens;
pub mod guard;
pub mod identity;
pub mod internal;
mod jws;
pub mod key_set;
pub mod limits;
mod linking;
pub mod local;
pub mod local_provider;
pub mod passwords;
pub mod pkce;
pub mod profiles;
mod proofs;
pub mod random;
pub mod redirects;
pub mod supabase;
pub mod tokens;

use std::time::Duration;

use sea_orm::DbErr;

use google_tokens::GoogleTokenError;
use key_set::KeysUnavailable;

/// What can go wrong while somebody proves who they are.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// No token, a broken one, an expired one, or one that we did not sign.
    #[error("the token is missing or not valid")]
    Unauthenticated,
    /// A good signature over claims that we do not accept (role, subject, audience, issuer).
    #[error("the token's claims are not accepted")]
    ClaimsRefused,
    /// The token is good but its user is gone or cannot be made.
    #[error("the session is no longer valid")]
    SessionInvalid,
    /// Unknown e-mail or wrong password; which of the two is not told.
    #[error("invalid e-mail or password")]
    InvalidCredentials,
    #[error("the e-mail is already registered")]
    EmailTaken,
    #[error("the password must have 8 to 128 characters")]
    WeakPassword,
    /// A password that everybody tries first.
    #[error("the password is too easy to guess")]
    LeakedPassword,
    /// The new password is the old one.
    #[error("the new password is the old one")]
    SamePassword,
    /// The right password of a sign-up whose address is not proven yet.
    #[error("the e-mail is not confirmed")]
    EmailNotConfirmed,
    /// A mailed link or code that is unknown, used, expired, or for something else.
    #[error("the link or code is not valid")]
    LinkInvalid,
    /// A PKCE code, or a state from a provider, that is unknown or was used.
    #[error("no such sign-in is under way")]
    FlowNotFound,
    /// The same, too late.
    #[error("the sign-in took too long")]
    FlowExpired,
    /// The verifier is not the one of the challenge.
    #[error("the code verifier does not match")]
    BadVerifier,
    /// More metadata than an access token can carry.
    #[error("the metadata is too large")]
    MetadataTooLarge,
    /// Too many passwords are being checked.
    #[error("too many passwords are being checked")]
    Busy,
    /// Unknown, expired or revoked refresh token.
    #[error("the refresh token is not valid")]
    RefreshTokenInvalid,
    /// Neither a recovery token of ours nor a token hash that was mailed, or used or expired.
    #[error("the reset token is not valid")]
    ResetTokenInvalid,
    /// A Google ID token that does not pass; the reason is for the log.
    #[error("the Google token is not accepted: {0}")]
    GoogleRefused(&'static str),
    /// The identity provider says no, in its own words.
    #[error("the identity provider refused: {text}")]
    ProviderRefused { code: String, text: String },
    /// The identity provider is asked too often.
    #[error("too many requests to the identity provider")]
    RateLimited { retry_after: Option<Duration> },
    /// The identity provider, or the keys of its tokens, cannot be had now.
    #[error("the identity provider is not available: {0}")]
    Unavailable(String),
    /// The developer's account could not be made.
    #[error("the developer's account could not be made: {0}")]
    DeveloperNotMade(String),
    /// A password hash or token could not be made.
    #[error("credentials could not be processed: {0}")]
    Crypto(String),
    #[error(transparent)]
    Database(#[from] DbErr),
}

impl From<KeysUnavailable> for AuthError {
    fn from(error: KeysUnavailable) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<GoogleTokenError> for AuthError {
    fn from(error: GoogleTokenError) -> Self {
        match error {
            GoogleTokenError::Refused(reason) => Self::GoogleRefused(reason),
            GoogleTokenError::NoKeys(error) => error.into(),
        }
    }
}
