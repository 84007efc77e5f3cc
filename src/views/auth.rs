//! Answers of `/api/auth/*` and, in GoTrue's shape, of `/auth/v1/*` (client contract 6).

use serde::Serialize;
use serde_json::{Value, json};

use super::{timestamp, users::UserView};
use crate::{
    auth::{identity::ProviderAccount, local::Session},
    models::local_accounts,
};

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

/// A session as supabase-js reads it.
#[must_use]
pub fn gotrue_session(session: &Session) -> Value {
    json!({
        "access_token": session.access_token,
        "token_type": "bearer",
        "expires_in": session.expires_in,
        "expires_at": session.expires_at,
        "refresh_token": session.refresh_token,
        "user": gotrue_user(&session.account),
    })
}

/// An account in GoTrue's form, whoever keeps it.
#[must_use]
pub fn provider_account(account: &ProviderAccount) -> Value {
    match account {
        ProviderAccount::Local(account) => gotrue_user(account),
        ProviderAccount::Foreign(user) => user.clone(),
    }
}

/// A user as supabase-js reads it.
#[must_use]
pub fn gotrue_user(account: &local_accounts::Model) -> Value {
    let email_data = json!({"email": account.email, "sub": account.user_id});
    json!({
        "id": account.user_id,
        "aud": "authenticated",
        "role": "authenticated",
        "email": account.email,
        "email_confirmed_at": account.email_confirmed_at.as_ref().map(timestamp),
        "phone": "",
        "last_sign_in_at": account.last_sign_in_at.as_ref().map(timestamp),
        "app_metadata": {"provider": "email", "providers": ["email"]},
        "user_metadata": account.user_metadata,
        "identities": [{
            "identity_id": account.user_id,
            "id": account.user_id,
            "user_id": account.user_id,
            "identity_data": email_data,
            "provider": "email",
            "created_at": timestamp(&account.created_at),
            "updated_at": timestamp(&account.updated_at),
        }],
        "created_at": timestamp(&account.created_at),
        "updated_at": timestamp(&account.updated_at),
        "is_anonymous": false,
    })
}
