//! Access tokens: JWTs in Supabase's form, signed with our secret or with a published key. One
//! verification for every route.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use chrono::Utc;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use loco_rs::app::AppContext;
use sea_orm::prelude::Uuid;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{AuthError, jws::TokenHead, key_set::KeySet, proofs::Proofs};
use crate::settings::{self, Secret};

/// The role claim of a signed-in user.
const ROLE: &str = "authenticated";

/// The proven claims of a token.
#[derive(Debug, Clone)]
pub struct Claims {
    /// Subject: the user at its identity provider.
    pub subject: Uuid,
    pub email: Option<String>,
    pub user_metadata: Map<String, Value>,
    /// Log-in that the token belongs to, for tokens of our own.
    pub session_id: Option<Uuid>,
    /// Seconds since 1970; zero for a token that does not say.
    pub issued_at: i64,
    /// When the token ends; `None` when that lies beyond what the clock can hold.
    pub expires_at: Option<SystemTime>,
}

impl Claims {
    /// How long the token is still good; what it opened ends with it.
    #[must_use]
    pub fn time_left(&self) -> Duration {
        self.expires_at.map_or(Duration::MAX, |end| {
            end.duration_since(SystemTime::now()).unwrap_or_default()
        })
    }
}

/// Every claim that is looked at stands here: of these, none may occur twice.
#[derive(Debug, Deserialize)]
struct WireClaims {
    /// Seconds since 1970; a fraction is allowed (RFC 7519 section 2, `NumericDate`).
    exp: Option<f64>,
    nbf: Option<f64>,
    iat: Option<f64>,
    sub: Option<String>,
    role: Option<String>,
    aud: Option<Audience>,
    iss: Option<String>,
    email: Option<String>,
    #[serde(default)]
    user_metadata: Option<Map<String, Value>>,
    session_id: Option<Uuid>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    fn contains(&self, wanted: &str) -> bool {
        match self {
            Self::One(audience) => audience == wanted,
            Self::Many(audiences) => audiences.iter().any(|audience| audience == wanted),
        }
    }
}

#[derive(Debug, Serialize)]
struct NewToken<'a> {
    iss: String,
    sub: Uuid,
    aud: &'a str,
    exp: i64,
    iat: i64,
    email: &'a str,
    phone: &'a str,
    app_metadata: &'a Value,
    user_metadata: &'a Value,
    role: &'a str,
    aal: &'a str,
    amr: Value,
    session_id: Uuid,
    is_anonymous: bool,
}

/// What a new access token says.
#[derive(Debug)]
pub struct TokenSubject<'a> {
    pub user_id: Uuid,
    pub email: &'a str,
    pub app_metadata: &'a Value,
    pub user_metadata: &'a Value,
    pub session_id: Uuid,
    /// Tokens of this user count from here on, seconds since 1970.
    pub valid_from: i64,
    /// How the session was opened.
    pub method: &'a str,
}

/// Signs and verifies access tokens.
pub struct TokenKeys {
    secret: Option<SecretKey>,
    published: Option<KeySet>,
    proofs: Proofs,
    audience: String,
    issuer: Option<String>,
    own_issuer: String,
    ttl_s: i64,
}

struct SecretKey {
    encoding: EncodingKey,
    decoding: DecodingKey,
}

impl TokenKeys {
    /// Keys over the raw bytes of `secret` and over the `published` set; `own_issuer` goes into tokens
    /// of our own.
    #[must_use]
    pub fn new(
        secret: Option<&Secret>,
        published: Option<KeySet>,
        settings: &settings::Settings,
        own_issuer: String,
    ) -> Self {
        let auth = &settings.auth;
        Self {
            secret: secret.map(|secret| SecretKey {
                encoding: EncodingKey::from_secret(secret.expose().as_bytes()),
                decoding: DecodingKey::from_secret(secret.expose().as_bytes()),
            }),
            published,
            proofs: Proofs::new(Duration::from_secs(settings.identity.jwks.proof_s)),
            audience: auth.audience.clone(),
            issuer: auth.issuer.clone(),
            own_issuer,
            ttl_s: i64::from(auth.access_token_ttl_s),
        }
    }

    /// The keys that boot put into the context.
    ///
    /// # Errors
    /// When the context was not made by this application's hooks.
    pub fn of(ctx: &AppContext) -> loco_rs::Result<Arc<Self>> {
        ctx.shared_store
            .get::<Arc<Self>>()
            .ok_or_else(|| loco_rs::Error::string("token keys are missing from the context"))
    }

    /// Seconds an access token lives.
    #[must_use]
    pub const fn ttl_s(&self) -> i64 {
        self.ttl_s
    }

    /// Proves a token: signature, time, role, subject, audience and issuer.
    ///
    /// # Errors
    /// [`AuthError::Unauthenticated`], [`AuthError::ClaimsRefused`], and [`AuthError::Unavailable`]
    /// when the public keys are needed and cannot be had.
    pub async fn verify(&self, token: &str) -> Result<Claims, AuthError> {
        let head = TokenHead::read(token).ok_or(AuthError::Unauthenticated)?;
        if head.algorithm == Algorithm::HS256 {
            return self.by_secret(token);
        }
        let published = self.published.as_ref().ok_or(AuthError::Unauthenticated)?;
        let id = head.key_id.ok_or(AuthError::Unauthenticated)?;
        if let Some(claims) = self.proofs.find(token).await {
            return Ok(claims);
        }
        let key = published
            .find(&id)
            .await?
            .filter(|key| key.algorithm == head.algorithm)
            .ok_or(AuthError::Unauthenticated)?;
        let claims = self.accept(wire_claims(token, &key.key, key.algorithm)?)?;
        self.proofs.keep(token, &claims).await;
        Ok(claims)
    }

    /// The secret is for HS256 alone, and no published key is ever a secret.
    fn by_secret(&self, token: &str) -> Result<Claims, AuthError> {
        let secret = self.secret.as_ref().ok_or(AuthError::Unauthenticated)?;
        self.accept(wire_claims(token, &secret.decoding, Algorithm::HS256)?)
    }

    /// What signed claims must say.
    fn accept(&self, claims: WireClaims) -> Result<Claims, AuthError> {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_err(|_| AuthError::Unauthenticated)?
            .as_secs_f64();
        let end = claims.exp.ok_or(AuthError::Unauthenticated)?;
        if end <= now || claims.nbf.is_some_and(|begin| begin > now) {
            return Err(AuthError::Unauthenticated);
        }
        if claims.role.as_deref() != Some(ROLE)
            || claims
                .aud
                .is_some_and(|audience| !audience.contains(&self.audience))
        {
            return Err(AuthError::ClaimsRefused);
        }
        if let (Some(wanted), Some(issuer)) = (&self.issuer, &claims.iss)
            && wanted != issuer
        {
            return Err(AuthError::ClaimsRefused);
        }
        let since = |seconds: f64| Duration::try_from_secs_f64(seconds).ok();
        let subject = claims.sub.as_deref().unwrap_or_default();
        let issued_at = claims.iat.and_then(since).unwrap_or_default().as_secs();
        Ok(Claims {
            subject: Uuid::parse_str(subject).map_err(|_| AuthError::ClaimsRefused)?,
            email: claims.email,
            user_metadata: claims.user_metadata.unwrap_or_default(),
            session_id: claims.session_id,
            issued_at: i64::try_from(issued_at).unwrap_or(i64::MAX),
            expires_at: since(end).and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since)),
        })
    }

    /// Signs a token; gives it with its expiry in seconds since 1970.
    ///
    /// # Errors
    /// [`AuthError::Crypto`] when signing fails.
    pub fn issue(&self, subject: &TokenSubject<'_>) -> Result<(String, i64), AuthError> {
        let secret = self
            .secret
            .as_ref()
            .ok_or_else(|| AuthError::Crypto("there is no secret to sign with".to_owned()))?;
        // A token of the second in which all earlier ones ended must not look like one of those.
        let now = Utc::now().timestamp().max(subject.valid_from);
        let expires_at = now.saturating_add(self.ttl_s);
        let claims = NewToken {
            iss: self.own_issuer.clone(),
            sub: subject.user_id,
            aud: &self.audience,
            exp: expires_at,
            iat: now,
            email: subject.email,
            phone: "",
            app_metadata: subject.app_metadata,
            user_metadata: subject.user_metadata,
            role: ROLE,
            aal: "aal1",
            amr: json!([{"method": subject.method, "timestamp": now}]),
            session_id: subject.session_id,
            is_anonymous: false,
        };
        encode(&Header::new(Algorithm::HS256), &claims, &secret.encoding)
            .map(|token| (token, expires_at))
            .map_err(|error| AuthError::Crypto(error.to_string()))
    }
}

/// Proves the signature with one key for one algorithm. Times are judged by [`TokenKeys::accept`],
/// to the second and without leeway.
fn wire_claims(
    token: &str,
    key: &DecodingKey,
    algorithm: Algorithm,
) -> Result<WireClaims, AuthError> {
    let mut validation = Validation::new(algorithm);
    validation.leeway = 0;
    validation.validate_nbf = true;
    validation.validate_aud = false;
    decode(token, key, &validation)
        .map(|data| data.claims)
        .map_err(|_| AuthError::Unauthenticated)
}
