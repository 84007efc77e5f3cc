//! People who prove themselves with a Google ID token (OpenID Connect Core 3.1.3.7).

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use loco_rs::app::AppContext;
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::Value;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::google_tokens::{GoogleTokenError, GoogleVerifier, ISSUERS};
use crate::{net::NetError, settings};

/// A proven Google account. Its address is verified.
#[derive(Debug, Clone)]
pub struct GoogleAccount {
    /// Google's permanent id of the account.
    pub subject: String,
    /// Trimmed and lower-case.
    pub email: String,
    pub name: Option<String>,
    pub picture: Option<String>,
}

/// What the token's `nonce` has to be.
#[derive(Debug, Clone, Copy)]
pub enum Nonce<'a> {
    /// None was asked for, so none may be there: it would be of another sign-in.
    Absent,
    /// The SHA-256 of this text, in hexadecimal or base64url, as identity libraries send it.
    HashOf(&'a str),
    /// This text: the value that we sent to Google ourselves.
    Exactly(&'a str),
}

/// Verifies ID tokens for our own clients.
pub struct GoogleSignIn {
    verifier: GoogleVerifier,
}

#[derive(Deserialize)]
struct IdClaims {
    sub: String,
    email: Option<String>,
    #[serde(default, deserialize_with = "truth")]
    email_verified: bool,
    name: Option<String>,
    picture: Option<String>,
    nonce: Option<String>,
}

impl GoogleSignIn {
    /// The verifier that the settings ask for; `None` without a client id, because a token for
    /// somebody else's client must never pass.
    ///
    /// # Errors
    /// When an HTTP client cannot be made.
    pub fn new(google: &settings::Google, user_agent: &str) -> Result<Option<Self>, NetError> {
        if google.client_ids.is_empty() {
            return Ok(None);
        }
        let mut issuers = ISSUERS.to_vec();
        issuers.extend(google.base.as_deref());
        let verifier = GoogleVerifier::new(
            &google.certs_url(),
            &google.client_ids,
            &issuers,
            user_agent,
        )?;
        Ok(Some(Self { verifier }))
    }

    /// The verifier that boot put into the context, when there is one.
    #[must_use]
    pub fn of(ctx: &AppContext) -> Option<Arc<Self>> {
        ctx.shared_store.get::<Arc<Self>>()
    }

    /// Proves an ID token: signature, time, issuer, audience, nonce and a verified address.
    ///
    /// # Errors
    /// See [`GoogleTokenError`].
    pub async fn verify(
        &self,
        id_token: &str,
        nonce: Nonce<'_>,
    ) -> Result<GoogleAccount, GoogleTokenError> {
        let refused = |reason| Err(GoogleTokenError::Refused(reason));
        let claims: IdClaims = self.verifier.claims(id_token).await?;
        if !nonce.fits(claims.nonce.as_deref().filter(|nonce| !nonce.is_empty())) {
            return refused("its nonce is of another sign-in");
        }
        let email = claims.email.unwrap_or_default().trim().to_lowercase();
        if !claims.email_verified || !email.contains('@') {
            return refused("its address is not verified");
        }
        if claims.sub.is_empty() || claims.sub.len() > 255 {
            return refused("it has no subject");
        }
        let text = |text: Option<String>| {
            text.map(|text| text.trim().to_owned())
                .filter(|text| !text.is_empty())
        };
        Ok(GoogleAccount {
            subject: claims.sub,
            email,
            name: text(claims.name).map(|name| name.chars().take(80).collect()),
            picture: text(claims.picture).filter(|url| url.starts_with("https://")),
        })
    }
}

impl Nonce<'_> {
    fn fits(self, found: Option<&str>) -> bool {
        let is_same =
            |wanted: &str, found: &str| bool::from(wanted.as_bytes().ct_eq(found.as_bytes()));
        match (self, found) {
            (Self::Absent, None) => true,
            (Self::HashOf(raw), Some(found)) => {
                let digest = Sha256::digest(raw.as_bytes());
                is_same(&format!("{digest:x}"), found)
                    || is_same(&URL_SAFE_NO_PAD.encode(digest), found)
            }
            (Self::Exactly(wanted), Some(found)) => is_same(wanted, found),
            (Self::Absent, Some(_)) | (Self::HashOf(_) | Self::Exactly(_), None) => false,
        }
    }
}

/// Google has sent this claim as a truth value and as its text.
fn truth<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Bool(truth) => Ok(truth),
        Value::String(text) => Ok(text == "true"),
        _ => Err(D::Error::custom("email_verified is neither")),
    }
}
