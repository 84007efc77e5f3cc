//! Access tokens: HS256 JWTs in Supabase's form. One verification for every route.

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

use super::AuthError;
use crate::settings::{self, Secret};

/// Longest token that is looked at, bytes.
const MAX_TOKEN_BYTES: usize = 16 * 1024;
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

#[derive(Debug, Deserialize)]
struct WireClaims {
    /// Seconds since 1970; a fraction is allowed (RFC 7519 section 2, `NumericDate`).
    exp: f64,
    sub: Option<String>,
    #[serde(rename = "authUserId")]
    auth_user_id: Option<String>,
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
    app_metadata: Value,
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
    pub user_metadata: &'a Value,
    pub session_id: Uuid,
}

/// Signs and verifies access tokens.
pub struct TokenKeys {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
    audience: String,
    issuer: Option<String>,
    own_issuer: String,
    ttl_s: i64,
}

impl TokenKeys {
    /// Keys over the raw bytes of `secret`; `own_issuer` goes into tokens of our own.
    #[must_use]
    pub fn new(secret: &Secret, auth: &settings::Auth, own_issuer: String) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = 0;
        validation.validate_nbf = true;
        // Checked below by our own rules: only when the claim is present.
        validation.validate_aud = false;
        validation.set_required_spec_claims(&["exp"]);
        Self {
            encoding: EncodingKey::from_secret(secret.expose().as_bytes()),
            decoding: DecodingKey::from_secret(secret.expose().as_bytes()),
            validation,
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
    /// [`AuthError::Unauthenticated`] or [`AuthError::ClaimsRefused`].
    pub fn verify(&self, token: &str) -> Result<Claims, AuthError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(AuthError::Unauthenticated);
        }
        let claims = decode::<WireClaims>(token, &self.decoding, &self.validation)
            .map_err(|_| AuthError::Unauthenticated)?
            .claims;
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
        let subject = claims.sub.or(claims.auth_user_id).unwrap_or_default();
        Ok(Claims {
            subject: Uuid::parse_str(&subject).map_err(|_| AuthError::ClaimsRefused)?,
            email: claims.email,
            user_metadata: claims.user_metadata.unwrap_or_default(),
            session_id: claims.session_id,
            expires_at: Duration::try_from_secs_f64(claims.exp)
                .ok()
                .and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since)),
        })
    }

    /// Signs a token; gives it with its expiry in seconds since 1970.
    ///
    /// # Errors
    /// [`AuthError::Crypto`] when signing fails.
    pub fn issue(&self, subject: &TokenSubject<'_>) -> Result<(String, i64), AuthError> {
        let now = Utc::now().timestamp();
        let expires_at = now.saturating_add(self.ttl_s);
        let claims = NewToken {
            iss: self.own_issuer.clone(),
            sub: subject.user_id,
            aud: &self.audience,
            exp: expires_at,
            iat: now,
            email: subject.email,
            phone: "",
            app_metadata: json!({"provider": "email", "providers": ["email"]}),
            user_metadata: subject.user_metadata,
            role: ROLE,
            aal: "aal1",
            amr: json!([{"method": "password", "timestamp": now}]),
            session_id: subject.session_id,
            is_anonymous: false,
        };
        encode(&Header::new(Algorithm::HS256), &claims, &self.encoding)
            .map(|token| (token, expires_at))
            .map_err(|error| AuthError::Crypto(error.to_string()))
    }
}
