//! What the identity routes say of themselves.

use axum::{Json, extract::State};
use loco_rs::app::AppContext;
use serde_json::{Value, json};

use crate::{auth::google_flow::GoogleFlow, http::ApiResult, settings::Settings};

/// Which ways to sign in there are, in GoTrue's words.
pub(super) async fn settings(State(ctx): State<AppContext>) -> ApiResult<Json<Value>> {
    let settings = Settings::of(&ctx)?;
    Ok(Json(json!({
        "external": {
            "anonymous_users": false,
            "email": true,
            "google": GoogleFlow::of(&ctx).is_some(),
            "phone": false,
        },
        "disable_signup": false,
        "mailer_autoconfirm": !settings.auth.confirm_email,
        "phone_autoconfirm": false,
        "sms_provider": "",
        "saml_enabled": false,
    })))
}

/// That the routes are there.
pub(super) async fn health() -> Json<Value> {
    Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "name": "GoTrue",
        "description": "DayGen's accounts, in the manner of GoTrue",
    }))
}

/// Public keys of access tokens. Ours are signed with a shared secret, so there are none.
pub(super) async fn key_set() -> Json<Value> {
    Json(json!({"keys": []}))
}
