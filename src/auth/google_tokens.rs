//! OIDC tokens that Google signs for a service account, as Cloud Tasks sends them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header, jwk::JwkSet};
use reqwest::header::{CACHE_CONTROL, HeaderMap};
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::net::{NetError, api_client, read_limited};

/// Issuers that Google uses.
const ISSUERS: [&str; 2] = ["https://accounts.google.com", "accounts.google.com"];
/// Longest token that is looked at, bytes.
const MAX_TOKEN_BYTES: usize = 16 * 1024;
/// Largest set of keys, bytes.
const MAX_KEYS_BYTES: u64 = 256 * 1024;
/// Limit of one fetch of the keys.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// How long keys are kept when the answer does not say.
const DEFAULT_LIFE: Duration = Duration::from_hours(1);
const MAX_LIFE: Duration = Duration::from_hours(24);
/// An unknown key id asks for the keys again, but not more often than this: anybody can make ids up.
const REFETCH: Duration = Duration::from_mins(1);
/// Clocks may differ by this, seconds.
const LEEWAY_S: u64 = 30;

/// Why a token does not pass.
#[derive(Debug, thiserror::Error)]
pub enum GoogleTokenError {
    #[error("the token is not accepted: {0}")]
    Refused(&'static str),
    #[error("Google's keys cannot be fetched: {0}")]
    NoKeys(NetError),
}

/// Verifies tokens against Google's published keys, which it keeps as long as they say.
pub struct GoogleTokens {
    http: reqwest::Client,
    certs_url: String,
    email: String,
    validation: Validation,
    keys: Mutex<Option<Keys>>,
}

#[derive(Clone)]
struct Keys {
    set: Arc<JwkSet>,
    fetched: Instant,
    life: Duration,
}

#[derive(Deserialize)]
struct Claims {
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
        let mut validation = Validation::new(Algorithm::RS256);
        validation.leeway = LEEWAY_S;
        validation.set_audience(&[audience]);
        validation.set_issuer(&ISSUERS);
        validation.set_required_spec_claims(&["exp", "aud", "iss"]);
        Ok(Self {
            http: api_client(user_agent)?,
            certs_url: certs_url.to_owned(),
            email: email.to_owned(),
            validation,
            keys: Mutex::new(None),
        })
    }

    /// Proves a token: signature, time, issuer, audience and account.
    ///
    /// # Errors
    /// See [`GoogleTokenError`].
    pub async fn verify(&self, token: &str) -> Result<(), GoogleTokenError> {
        let refused = |reason| Err(GoogleTokenError::Refused(reason));
        if token.len() > MAX_TOKEN_BYTES {
            return refused("it is too long");
        }
        let Ok(header) = decode_header(token) else {
            return refused("it is no token");
        };
        let (Algorithm::RS256, Some(kid)) = (header.alg, header.kid) else {
            return refused("it is not signed as Google signs");
        };
        let Some(key) = self.key(&kid).await? else {
            return refused("its key is not Google's");
        };
        let Ok(data) = decode::<Claims>(token, &key, &self.validation) else {
            return refused("its signature, time, issuer or audience is wrong");
        };
        if data.claims.email.as_deref() != Some(&self.email) || !data.claims.email_verified {
            return refused("it is of another account");
        }
        Ok(())
    }

    async fn key(&self, kid: &str) -> Result<Option<DecodingKey>, GoogleTokenError> {
        // Held while fetching, so that many tokens at once fetch once.
        let mut keys = self.keys.lock().await;
        let known = keys.as_ref();
        let is_stale = known.is_none_or(|keys| keys.fetched.elapsed() >= keys.life);
        let is_unknown = known
            .is_some_and(|keys| keys.set.find(kid).is_none() && keys.fetched.elapsed() >= REFETCH);
        if is_stale || is_unknown {
            match self.fetch().await {
                Ok(fresh) => *keys = Some(fresh),
                Err(error) => {
                    tracing::warn!(%error, "Google's keys cannot be fetched");
                    // Old keys are better than none while Google is away.
                    if keys
                        .as_ref()
                        .is_none_or(|keys| keys.set.find(kid).is_none())
                    {
                        return Err(GoogleTokenError::NoKeys(error));
                    }
                }
            }
        }
        let jwk = keys.as_ref().and_then(|keys| keys.set.find(kid).cloned());
        Ok(jwk.and_then(|jwk| DecodingKey::from_jwk(&jwk).ok()))
    }

    async fn fetch(&self) -> Result<Keys, NetError> {
        let response = self
            .http
            .get(&self.certs_url)
            .timeout(FETCH_TIMEOUT)
            .send()
            .await?;
        let status = response.status();
        if !status.is_success() {
            return Err(NetError::Status(status.as_u16()));
        }
        let life = max_age(response.headers()).unwrap_or(DEFAULT_LIFE);
        let bytes = read_limited(response, MAX_KEYS_BYTES).await?;
        let set = serde_json::from_slice(&bytes)
            .map_err(|_| NetError::Build("the keys cannot be read".to_owned()))?;
        Ok(Keys {
            set: Arc::new(set),
            fetched: Instant::now(),
            life: life.clamp(REFETCH, MAX_LIFE),
        })
    }
}

/// The `max-age` of an answer.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(CACHE_CONTROL)?.to_str().ok()?;
    text.split(',')
        .filter_map(|part| part.trim().strip_prefix("max-age="))
        .find_map(|seconds| seconds.parse().ok())
        .map(Duration::from_secs)
}
