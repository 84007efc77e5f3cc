//! User JSON (platform contract 2.5).

use sea_orm::prelude::Uuid;
use serde::Serialize;

use super::timestamp;
use crate::models::users::Profile;

/// A user as the client knows it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UserView {
    pub id: Uuid,
    pub auth_user_id: Uuid,
    pub email: String,
    pub display_name: Option<String>,
    pub credits: i64,
    pub profile_image: Option<String>,
    pub role: String,
    pub created_at: String,
    pub updated_at: String,
    pub subscription: Option<SubscriptionView>,
}

/// The live subscription of a user.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SubscriptionView {
    pub id: Uuid,
    pub status: String,
    pub current_period_start: String,
    pub current_period_end: String,
    pub cancel_at_period_end: bool,
    pub created_at: String,
}

impl UserView {
    /// The view of a profile; `public_url` makes an address of an object key.
    #[must_use]
    pub fn new(profile: &Profile, public_url: impl Fn(&str) -> String) -> Self {
        let profile_image = profile
            .profile_image_key
            .as_deref()
            .map(public_url)
            .or_else(|| profile.avatar_url.clone());
        Self {
            id: profile.id,
            auth_user_id: profile.id,
            email: profile.email.clone(),
            display_name: profile.display_name.clone(),
            credits: profile.credits(),
            profile_image,
            role: profile.role_text(),
            created_at: timestamp(&profile.created_at),
            updated_at: timestamp(&profile.updated_at),
            subscription: profile.subscription.as_ref().map(|live| SubscriptionView {
                id: live.id,
                status: live.status.clone(),
                current_period_start: timestamp(&live.current_period_start),
                current_period_end: timestamp(&live.current_period_end),
                cancel_at_period_end: live.cancel_at_period_end,
                created_at: timestamp(&live.created_at),
            }),
        }
    }
}
