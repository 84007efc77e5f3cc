//! Bodies of `/api/auth/*`.

use serde_json::{Map, Value};

use super::fields::{Fields, Length};
use crate::http::ApiResult;

/// Bounds of a password, characters (platform contract 4.1).
pub const PASSWORD: Length = Length::between(8, 128);
/// Longest name that somebody shows, characters.
const DISPLAY_NAME_MAX: usize = 80;
/// Longest token in a body that is looked at, characters.
pub const TOKEN_MAX: usize = 16 * 1024;

/// `POST /api/auth/signup`.
#[derive(Debug)]
pub struct SignUp {
    pub email: String,
    pub password: Option<String>,
    pub display_name: Option<String>,
}

impl SignUp {
    /// # Errors
    /// 400 with every broken rule.
    pub fn parse(body: Map<String, Value>) -> ApiResult<Self> {
        let mut fields = Fields::new(body);
        let dto = Self {
            email: fields.required_email("email"),
            display_name: fields.text("displayName", Length::max(DISPLAY_NAME_MAX)),
            password: fields.text("password", PASSWORD),
        };
        fields.finish()?;
        Ok(dto)
    }
}

/// `POST /api/auth/login`.
#[derive(Debug)]
pub struct LogIn {
    pub email: String,
    pub password: String,
}

impl LogIn {
    /// # Errors
    /// 400 with every broken rule.
    pub fn parse(body: Map<String, Value>) -> ApiResult<Self> {
        let mut fields = Fields::new(body);
        let dto = Self {
            email: fields.required_email("email"),
            password: fields.required_text("password", PASSWORD),
        };
        fields.finish()?;
        Ok(dto)
    }
}

/// `POST /api/auth/oauth-callback`: tokens that the client already holds.
#[derive(Debug)]
pub struct TokenPair {
    pub access_token: Option<String>,
    pub refresh_token: Option<String>,
}

impl TokenPair {
    /// Takes what is there; the controller says what is missing.
    #[must_use]
    pub fn parse(body: Map<String, Value>) -> Self {
        let mut fields = Fields::new(body);
        Self {
            access_token: fields.text("access_token", Length::default()),
            refresh_token: fields.text("refresh_token", Length::default()),
        }
    }
}

/// A body with nothing but an address: `POST /api/auth/forgot-password` and `/magic-link`.
#[derive(Debug)]
pub struct Address {
    pub email: String,
}

impl Address {
    /// # Errors
    /// 400 when there is no address.
    pub fn parse(body: Map<String, Value>) -> ApiResult<Self> {
        let mut fields = Fields::new(body);
        let dto = Self {
            email: fields.required_email("email"),
        };
        fields.finish()?;
        Ok(dto)
    }
}

/// `POST /api/auth/reset-password`.
#[derive(Debug)]
pub struct PasswordReset {
    /// An access token or a token hash.
    pub token: String,
    pub new_password: String,
}

impl PasswordReset {
    /// # Errors
    /// 400 with every broken rule.
    pub fn parse(body: Map<String, Value>) -> ApiResult<Self> {
        let mut fields = Fields::new(body);
        let dto = Self {
            token: fields.required_text("token", Length::default()),
            new_password: fields.required_text("newPassword", PASSWORD),
        };
        fields.finish()?;
        Ok(dto)
    }
}

/// `POST /api/auth/google/verify`.
#[derive(Debug)]
pub struct GoogleProof {
    pub id_token: Option<String>,
    /// The text whose hash the token carries.
    pub nonce: Option<String>,
}

impl GoogleProof {
    /// Takes what is there; the controller says what is missing.
    #[must_use]
    pub fn parse(body: Map<String, Value>) -> Self {
        let mut fields = Fields::new(body);
        let mut text = |name: &str| {
            fields
                .text(name, Length::max(TOKEN_MAX))
                .map(|text| text.trim().to_owned())
                .filter(|text| !text.is_empty())
        };
        Self {
            id_token: text("idToken"),
            nonce: text("nonce"),
        }
    }
}
