//! `Idempotency-Key`: a POST that creates or costs may be repeated without happening twice.
//!
//! The record is written with the effect (`models::idempotency_keys`), so a request without a key pays
//! nothing here and one with a key one statement in the transaction it needs anyway. Only when a
//! request ends in a refusal is the key looked at: then it may turn out to be a repeat.

use axum::{
    extract::{FromRequest, Request},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use loco_rs::app::AppContext;
use sea_orm::{DatabaseConnection, prelude::Uuid};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{
    body::large_json,
    error::{ApiError, ApiResult, ErrorCode},
    form::Upload,
};
use crate::{
    models::idempotency_keys::{self, KeyedRequest, Standing},
    settings::Settings,
    storage::{Intake, Share},
};

/// The request header.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says on an answer that it was stored by an earlier request.
pub const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Longest key, characters.
const MAX_KEY_LENGTH: usize = 255;

/// The JSON object of a creating POST, up to the configured limit, with the request's key if it has
/// one. Absent, empty and non-JSON bodies count as `{}`, as everywhere.
#[derive(Debug)]
pub struct KeyedBody {
    pub fields: Map<String, Value>,
    key: Option<Key>,
    share: Share,
}

#[derive(Debug)]
struct Key {
    text: String,
    route: String,
    body_hash: Vec<u8>,
    keep_hours: u32,
    lease_ms: u64,
}

impl FromRequest<AppContext> for KeyedBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, ctx: &AppContext) -> Result<Self, Self::Rejection> {
        let http = &Settings::of(ctx)?.http;
        let text = key_of(request.headers())?;
        let path = request.uri().path().trim_end_matches('/');
        let route = format!("{} {path}", request.method());
        let intake = Intake::of(ctx)?;
        let limit = http.body_limit_bytes;
        let large = large_json(request, limit, &intake, text.is_some()).await?;
        let key = text.zip(large.hash).map(|(text, body_hash)| Key {
            text,
            route,
            body_hash,
            keep_hours: http.idempotency_hours,
            lease_ms: http.idempotency_lease_ms,
        });
        Ok(Self {
            fields: large.fields,
            key,
            share: large.share,
        })
    }
}

impl KeyedBody {
    /// The same for a form: its texts and its file decide whether two requests are the same, not the
    /// lines between them, which clients make up anew.
    pub(super) async fn of_form(
        parts: &Parts,
        ctx: &AppContext,
        fields: Map<String, Value>,
        file: Option<&Upload>,
        share: Share,
    ) -> ApiResult<Self> {
        let Some(text) = key_of(&parts.headers)? else {
            return Ok(Self {
                fields,
                key: None,
                share,
            });
        };
        let http = &Settings::of(ctx)?.http;
        let texts = Value::Object(fields.clone()).to_string();
        let bytes = file.map(|file| file.bytes.clone()).unwrap_or_default();
        let hashed = tokio::task::spawn_blocking(move || {
            let digest = Sha256::new().chain_update(texts).chain_update(bytes);
            digest.finalize().to_vec()
        });
        let body_hash = hashed.await.map_err(|error| {
            tracing::error!(%error, "a form could not be hashed");
            ApiError::internal()
        })?;
        let path = parts.uri.path().trim_end_matches('/');
        let key = Some(Key {
            text,
            route: format!("{} {path}", parts.method),
            body_hash,
            keep_hours: http.idempotency_hours,
            lease_ms: http.idempotency_lease_ms,
        });
        Ok(Self { fields, key, share })
    }

    /// Parts the body into its fields, what the caller's request is stored under if it has a key, and the
    /// share of the memory that is to be kept for as long as the fields are.
    #[must_use]
    pub fn of(self, user_id: Uuid) -> (Map<String, Value>, Option<KeyedRequest>, Share) {
        let request = self.key.map(|key| KeyedRequest {
            user_id,
            key: key.text,
            route: key.route,
            body_hash: key.body_hash,
            keep_hours: key.keep_hours,
            lease_ms: key.lease_ms,
        });
        (self.fields, request, self.share)
    }
}

/// The one key of a request, if it has one.
fn key_of(headers: &HeaderMap) -> ApiResult<Option<String>> {
    let mut values = headers.get_all(&IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let bytes = value.as_bytes();
    let is_good = values.next().is_none()
        && (1..=MAX_KEY_LENGTH).contains(&bytes.len())
        && bytes.iter().all(u8::is_ascii_graphic);
    match value.to_str() {
        Ok(text) if is_good => Ok(Some(text.to_owned())),
        _ => Err(ApiError::bad_request(
            ErrorCode::ValidationFailed,
            format!(
                "Idempotency-Key must be given once and have 1 to {MAX_KEY_LENGTH} visible ASCII characters."
            ),
        )),
    }
}

/// The answer of a creating POST: made now, or stored by the same request before.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    /// The JSON text of the body.
    pub body: String,
    pub is_replayed: bool,
}

impl Answer {
    /// 201 with this JSON text.
    #[must_use]
    pub const fn created(body: String) -> Self {
        Self {
            status: StatusCode::CREATED,
            body,
            is_replayed: false,
        }
    }

    /// One field of the body.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<Value> {
        let mut fields: Map<String, Value> = serde_json::from_str(&self.body).ok()?;
        fields.remove(name)
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let json = HeaderValue::from_static("application/json");
        let mut response = (self.status, [(header::CONTENT_TYPE, json)], self.body).into_response();
        if self.is_replayed {
            response
                .headers_mut()
                .insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }
}

/// Runs a creating request. When it is refused and carries a key, the key decides: a repeat gets the
/// stored answer whatever speaks against the request now, another request under the same key is told
/// so, and otherwise the refusal stands and leaves nothing.
///
/// # Errors
/// The request's own, 422 when the key belongs to another request, 409 while the first one runs.
pub async fn once(
    db: &DatabaseConnection,
    request: Option<&KeyedRequest>,
    act: impl Future<Output = ApiResult<Answer>>,
) -> ApiResult<Answer> {
    let (refusal, request) = match (act.await, request) {
        (Err(refusal), Some(request)) => (refusal, request),
        (outcome, _) => return outcome,
    };
    match idempotency_keys::Entity::standing(db, request).await {
        Ok(Standing::Answered { status, response }) => Ok(Answer {
            status: u16::try_from(status)
                .ok()
                .and_then(|status| StatusCode::from_u16(status).ok())
                .unwrap_or(StatusCode::CREATED),
            body: response,
            is_replayed: true,
        }),
        Ok(Standing::OtherRequest) => Err(ApiError::key_reused()),
        Ok(Standing::Running) => Err(ApiError::key_in_use()),
        Ok(Standing::Free) => Err(refusal),
        Err(error) => {
            tracing::warn!(%error, "an idempotency key could not be looked at");
            Err(refusal)
        }
    }
}
