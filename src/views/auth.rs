//! Answers of `/api/auth/*`.

use serde::Serialize;
use serde_json::Value;

use super::{gotrue, users::UserView};
use crate::auth::identity::ProviderAccount;

/// `POST /api/auth/signup`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SignUpView {
    pub message: &'static str,
    pub needs_email_confirmation: bool,
}

/// `POST /api/auth/login`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LogInView {
    pub access_token: String,
    pub refresh_token: String,
    /// Seconds.
    pub expires_in: i64,
    /// Absent when the account is good and its profile cannot be had.
    pub user: Option<UserView>,
}

/// `POST /api/auth/google/verify`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GoogleView {
    pub message: &'static str,
    /// The account as its provider describes it.
    pub user: Value,
    pub profile: UserView,
    pub access_token: String,
    pub refresh_token: String,
}

/// `POST /api/auth/dev-login`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeveloperView {
    pub access_token: String,
    pub refresh_token: String,
    pub user: Option<UserView>,
}

/// `POST /api/auth/oauth-callback`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CallbackView {
    pub message: &'static str,
    pub user: UserView,
    pub access_token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
}

/// A plain sentence.
#[derive(Debug, Serialize)]
pub struct MessageView {
    pub message: &'static str,
}

/// An account in GoTrue's form, whoever keeps it.
#[must_use]
pub fn provider_account(account: &ProviderAccount) -> Value {
    match account {
        ProviderAccount::Local(account) => gotrue::user(account),
        ProviderAccount::Foreign(user) => user.clone(),
    }
}
