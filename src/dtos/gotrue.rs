//! Bodies of `/auth/v1/*`, as supabase-js sends them. What it sends beside these fields
//! (`gotrue_meta_security` and such) is not looked at.

use axum::http::StatusCode;
use serde_json::{Map, Value};

use super::fields::{Fields, Length};
use crate::{
    auth::{local::METADATA_MAX_BYTES, pkce::Challenge},
    http::{ApiError, ApiResult, ErrorCode},
    models::one_time_tokens::Kind,
};

/// `POST /auth/v1/signup`.
#[derive(Debug)]
pub struct SignUp {
    pub email: String,
    pub password: Option<String>,
    pub data: Map<String, Value>,
    pub challenge: Option<Challenge>,
}

impl SignUp {
    /// # Errors
    /// 400 when a field has the wrong type, 422 for a sign-in without address; the password is judged by
    /// the auth room.
    pub fn parse(body: Map<String, Value>) -> ApiResult<Self> {
        if !["email", "phone", "password"]
            .iter()
            .any(|key| body.contains_key(*key))
        {
            return Err(ApiError::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                ErrorCode::AnonymousSignInDisabled,
                "Anonymous sign-ins are disabled",
            ));
        }
        let mut fields = Fields::new(body);
        let dto = Self {
            email: fields.required_email("email"),
            password: fields.text("password", Length::default()),
            data: metadata(&mut fields),
            challenge: challenge(&mut fields),
        };
        fields.finish()?;
        Ok(dto)
    }
}

/// `POST /auth/v1/token?grant_type=password`.
#[derive(Debug)]
pub struct PasswordGrant {
    pub email: String,
    pub password: String,
}

impl PasswordGrant {
    /// # Errors
    /// 400 when a field is missing.
    pub fn parse(body: Map<String, Value>) -> ApiResult<Self> {
        let mut fields = Fields::new(body);
        let dto = Self {
            email: fields.required_email("email"),
            password: fields.required_text("password", Length::default()),
        };
        fields.finish()?;
        Ok(dto)
    }
}

/// `POST /auth/v1/token?grant_type=refresh_token`.
#[derive(Debug)]
pub struct RefreshGrant {
    pub refresh_token: String,
}

impl RefreshGrant {
    /// # Errors
    /// 400 when the field is missing.
    pub fn parse(body: Map<String, Value>) -> ApiResult<Self> {
        let mut fields = Fields::new(body);
        let dto = Self {
            refresh_token: fields.required_text("refresh_token", Length::default()),
        };
        fields.finish()?;
        Ok(dto)
    }
}

/// `POST /auth/v1/token?grant_type=pkce`.
#[derive(Debug)]
pub struct CodeGrant {
    pub auth_code: String,
    pub code_verifier: String,
}

impl CodeGrant {
    /// # Errors
    /// 400 when a field is missing.
    pub fn parse(body: Map<String, Value>) -> ApiResult<Self> {
        let mut fields = Fields::new(body);
        let dto = Self {
            auth_code: fields.required_text("auth_code", Length::default()),
            code_verifier: fields.required_text("code_verifier", Length::default()),
        };
        fields.finish()?;
        Ok(dto)
    }
}

/// `POST /auth/v1/token?grant_type=id_token`.
#[derive(Debug)]
pub struct IdTokenGrant {
    pub id_token: String,
    /// The text whose hash the token carries.
    pub nonce: Option<String>,
}

impl IdTokenGrant {
    /// # Errors
    /// 400 when a field is missing, or the token is not Google's.
    pub fn parse(body: Map<String, Value>) -> ApiResult<Self> {
        let mut fields = Fields::new(body);
        if fields.required_text("provider", Length::default()) != "google" {
            fields.fault("provider must be google");
        }
        let dto = Self {
            id_token: fields.required_text("id_token", Length::default()),
            nonce: fields
                .text("nonce", Length::default())
                .filter(|nonce| !nonce.is_empty()),
        };
        fields.finish()?;
        Ok(dto)
    }
}

/// `PUT /auth/v1/user`; what is absent stays.
#[derive(Debug)]
pub struct ChangeUser {
    pub email: Option<String>,
    pub password: Option<String>,
    pub data: Option<Map<String, Value>>,
    pub challenge: Option<Challenge>,
}

impl ChangeUser {
    /// # Errors
    /// 400 when a field has the wrong type.
    pub fn parse(body: Map<String, Value>) -> ApiResult<Self> {
        // GoTrue's clients send an empty address for none.
        let has_email = body
            .get("email")
            .is_some_and(|value| !value.is_null() && value != "");
        let mut fields = Fields::new(body);
        let dto = Self {
            email: has_email.then(|| fields.required_email("email")),
            password: fields.text("password", Length::default()),
            data: fields.object("data"),
            challenge: challenge(&mut fields),
        };
        fields.finish()?;
        Ok(dto)
    }
}

/// `POST /auth/v1/recover`.
#[derive(Debug)]
pub struct Recover {
    pub email: String,
    pub challenge: Option<Challenge>,
}

impl Recover {
    /// # Errors
    /// 400 when a field is missing or wrong.
    pub fn parse(body: Map<String, Value>) -> ApiResult<Self> {
        let mut fields = Fields::new(body);
        let dto = Self {
            email: fields.required_email("email"),
            challenge: challenge(&mut fields),
        };
        fields.finish()?;
        Ok(dto)
    }
}

/// `POST /auth/v1/otp`.
#[derive(Debug)]
pub struct Otp {
    pub email: String,
    pub data: Map<String, Value>,
    pub create_user: bool,
    pub challenge: Option<Challenge>,
}

impl Otp {
    /// # Errors
    /// 400 when a field is missing or wrong.
    pub fn parse(body: Map<String, Value>) -> ApiResult<Self> {
        let mut fields = Fields::new(body);
        let dto = Self {
            email: fields.required_email("email"),
            data: metadata(&mut fields),
            create_user: fields.take("create_user") != Some(Value::Bool(false)),
            challenge: challenge(&mut fields),
        };
        fields.finish()?;
        Ok(dto)
    }
}

/// `POST /auth/v1/resend`.
#[derive(Debug)]
pub struct Resend {
    pub email: String,
    /// A sign-up or a change of address.
    pub kind: Kind,
    pub challenge: Option<Challenge>,
}

impl Resend {
    /// # Errors
    /// 400 when a field is missing or wrong.
    pub fn parse(body: Map<String, Value>) -> ApiResult<Self> {
        let mut fields = Fields::new(body);
        let kind = fields.required_text("type", Length::default());
        let kind = Kind::of(&kind).filter(|kind| matches!(kind, Kind::SignUp | Kind::EmailChange));
        if kind.is_none() {
            fields.fault("type must be signup or email_change");
        }
        let dto = Self {
            email: fields.required_email("email"),
            kind: kind.unwrap_or(Kind::SignUp),
            challenge: challenge(&mut fields),
        };
        fields.finish()?;
        Ok(dto)
    }
}

/// What `POST /auth/v1/verify` shows.
#[derive(Debug)]
pub enum VerifyProof {
    Link(String),
    Code { email: String, code: String },
}

/// `POST /auth/v1/verify`.
#[derive(Debug)]
pub struct Verify {
    pub proof: VerifyProof,
    pub kinds: &'static [Kind],
}

impl Verify {
    /// # Errors
    /// 400 when a field is missing or wrong.
    pub fn parse(body: Map<String, Value>) -> ApiResult<Self> {
        let mut fields = Fields::new(body);
        let kind = fields.required_text("type", Length::default());
        let kinds = kinds_of(&kind);
        if kinds.is_none() {
            fields.fault("type must be signup, magiclink, recovery, email_change or email");
        }
        let proof = match fields.text("token_hash", Length::default()) {
            Some(secret) => VerifyProof::Link(secret),
            None => VerifyProof::Code {
                email: fields.required_email("email"),
                code: fields.required_text("token", Length::default()),
            },
        };
        fields.finish()?;
        Ok(Self {
            proof,
            kinds: kinds.unwrap_or_default(),
        })
    }
}

/// The kinds of mails that a `type` of GoTrue means.
#[must_use]
pub fn kinds_of(text: &str) -> Option<&'static [Kind]> {
    match text {
        // Which of the two somebody got depends on how the account was to be made.
        "signup" | "invite" | "magiclink" | "email" => Some(&[Kind::MagicLink, Kind::SignUp]),
        "recovery" => Some(&[Kind::Recovery]),
        "email_change" => Some(&[Kind::EmailChange]),
        _ => None,
    }
}

/// Metadata of a new account. It goes into every access token, and a token that is too long is refused.
fn metadata(fields: &mut Fields) -> Map<String, Value> {
    let data = fields.object("data").unwrap_or_default();
    let size = serde_json::to_vec(&data).map_or(usize::MAX, |text| text.len());
    if size > METADATA_MAX_BYTES {
        fields.fault(format!(
            "data must not be larger than {METADATA_MAX_BYTES} bytes"
        ));
    }
    data
}

fn challenge(fields: &mut Fields) -> Option<Challenge> {
    let value = fields.text("code_challenge", Length::default());
    let method = fields.text("code_challenge_method", Length::default());
    match Challenge::read(value.as_deref(), method.as_deref()) {
        Ok(challenge) => challenge,
        Err(reason) => {
            fields.fault(reason);
            None
        }
    }
}
