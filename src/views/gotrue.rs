//! Answers of `/auth/v1/*`, as supabase-js reads them (client contract 6).

pub mod reset_page;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::timestamp;
use crate::{auth::local::Session, models::local_accounts};

/// A session.
#[must_use]
pub fn session(session: &Session) -> Value {
    json!({
        "access_token": session.access_token,
        "token_type": "bearer",
        "expires_in": session.expires_in,
        "expires_at": session.expires_at,
        "refresh_token": session.refresh_token,
        "user": user(&session.account),
    })
}

/// An account.
#[must_use]
pub fn user(account: &local_accounts::Model) -> Value {
    let providers: Vec<&str> = account
        .app_metadata
        .get("providers")
        .and_then(Value::as_array)
        .map(|list| list.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let identities: Vec<Value> = providers
        .iter()
        .map(|provider| {
            json!({
                "identity_id": account.user_id,
                "id": account.user_id,
                "user_id": account.user_id,
                "identity_data": {
                    "email": account.email,
                    "email_verified": account.email_confirmed_at.is_some(),
                    "sub": account.user_id,
                },
                "provider": provider,
                "email": account.email,
                "created_at": timestamp(&account.created_at),
                "updated_at": timestamp(&account.updated_at),
            })
        })
        .collect();
    let mut user = json!({
        "id": account.user_id,
        "aud": "authenticated",
        "role": "authenticated",
        "email": account.email,
        "email_confirmed_at": account.email_confirmed_at.as_ref().map(timestamp),
        "confirmed_at": account.email_confirmed_at.as_ref().map(timestamp),
        "phone": "",
        "last_sign_in_at": account.last_sign_in_at.as_ref().map(timestamp),
        "app_metadata": account.app_metadata,
        "user_metadata": account.user_metadata,
        "identities": identities,
        "created_at": timestamp(&account.created_at),
        "updated_at": timestamp(&account.updated_at),
        "is_anonymous": false,
    });
    if let (Some(user), Some(new_email)) = (user.as_object_mut(), &account.new_email) {
        user.insert("new_email".to_owned(), json!(new_email));
        let sent_at = account.email_change_sent_at.as_ref().map(timestamp);
        user.insert("email_change_sent_at".to_owned(), json!(sent_at));
    }
    user
}

/// What a sign-up shows that waits for a mail. It is made up, and the same whether the address has an
/// account or not.
#[must_use]
pub fn unconfirmed_user(email: &str, user_metadata: Map<String, Value>) -> Value {
    let id = Uuid::new_v4();
    let now = timestamp(&chrono::Utc::now().fixed_offset());
    json!({
        "id": id,
        "aud": "authenticated",
        "role": "authenticated",
        "email": email,
        "phone": "",
        "confirmation_sent_at": now,
        "app_metadata": {"provider": "email", "providers": ["email"]},
        "user_metadata": user_metadata,
        "identities": [{
            "identity_id": id,
            "id": id,
            "user_id": id,
            "identity_data": {"email": email, "email_verified": false, "sub": id},
            "provider": "email",
            "email": email,
            "created_at": now,
            "updated_at": now,
        }],
        "created_at": now,
        "updated_at": now,
        "is_anonymous": false,
    })
}
