//! Tokens that Google signs: of service accounts, as Cloud Tasks sends them, and of people.

use std::time::Duration;

use jsonwebtoken::{Algorithm, Validation, decode};
use serde::{Deserialize, de::DeserializeOwned};

use super::{
    jws::TokenHead,
    key_set::{KeySet, KeysUnavailable, Rules},
};
use crate::net::NetError;

/// Issuers that Google uses.
pub const ISSUERS: [&str; 2] = ["https://accounts.google.com", "accounts.google.com"];
/// Clocks may differ by this, seconds.
const LEEWAY_S: u64 = 30;
/// Google's keys live as long as its answers say, within these bounds.
const RULES: Rules = Rules {
    default_life: Duration::from_hours(1),
    max_life: Duration::from_hours(24),
    last_good: Duration::from_hours(24),
    floor: Duration::from_mins(1),
    retry: Duration::from_secs(5),
    timeout: Duration::from_secs(5),
};

/// Why a token does not pass.
#[derive(Debug, thiserror::Error)]
pub enum GoogleTokenError {
    #[error("the token is not accepted: {0}")]
    Refused(&'static str),
    #[error(transparent)]
    NoKeys(#[from] KeysUnavailable),
}

/// Verifies signature, time, issuer and audience against Google's published keys.
pub struct GoogleVerifier {
    keys: KeySet,
    validation: Validation,
}

impl GoogleVerifier {
    /// A verifier of tokens for one of `audiences`.
    ///
    /// # Errors
    /// When an HTTP client cannot be made.
    pub fn new(
        certs_url: &str,
        audiences: &[impl ToString],
        issuers: &[&str],
        user_agent: &str,
    ) -> Result<Self, NetError> {
        let mut validation = Validation::new(Algorithm::RS256);
        validation.leeway = LEEWAY_S;
        validation.validate_nbf = true;
        validation.set_audience(audiences);
        validation.set_issuer(issuers);
        validation.set_required_spec_claims(&["exp", "aud", "iss"]);
        Ok(Self {
            keys: KeySet::new(certs_url.to_owned(), RULES, user_agent)?,
            validation,
        })
    }

    /// The proven claims of a token.
    ///
    /// # Errors
    /// See [`GoogleTokenError`].
    pub async fn claims<C: DeserializeOwned>(&self, token: &str) -> Result<C, GoogleTokenError> {
        let refused = |reason| Err(GoogleTokenError::Refused(reason));
        let Some(head) = TokenHead::read(token) else {
            return refused("it is no token");
        };
        let (Algorithm::RS256, Some(id)) = (head.algorithm, head.key_id) else {
            return refused("it is not signed as Google signs");
        };
        let key = match self.keys.find(&id).await? {
            Some(key) if key.algorithm == Algorithm::RS256 => key,
            _ => return refused("its key is not Google's"),
        };
        decode::<C>(token, &key.key, &self.validation)
            .map(|data| data.claims)
            .or_else(|_| refused("its signature, time, issuer, audience or form is wrong"))
    }
}

/// Verifies the tokens of one service account.
pub struct GoogleTokens {
    verifier: GoogleVerifier,
    email: String,
}

#[derive(Deserialize)]
struct AccountClaims {
    email: Option<String>,
    #[serde(default)]
    email_verified: bool,
}

impl GoogleTokens {
    /// A verifier of tokens for `audience` and `email`.
    ///
    /// # Errors
    /// When an HTTP client cannot be made.
    pub fn new(
        certs_url: &str,
        audience: &str,
        email: &str,
        user_agent: &str,
    ) -> Result<Self, NetError> {
        Ok(Self {
            verifier: GoogleVerifier::new(certs_url, &[audience], &ISSUERS, user_agent)?,
            email: email.to_owned(),
        })
    }

    /// Proves a token: signature, time, issuer, audience and account.
    ///
    /// # Errors
    /// See [`GoogleTokenError`].
    pub async fn verify(&self, token: &str) -> Result<(), GoogleTokenError> {
        let claims: AccountClaims = self.verifier.claims(token).await?;
        if claims.email.as_deref() != Some(&self.email) || !claims.email_verified {
            return Err(GoogleTokenError::Refused("it is of another account"));
        }
        Ok(())
    }
}
