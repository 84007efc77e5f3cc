//! The owner of an address has come, by a mailed link or by Google. If the account was of somebody who
//! never proved the address, it falls to the owner: its password and log-ins end, with every link, code
//! and access token that is under way (architecture: identity).

use sea_orm::{DatabaseTransaction, EntityTrait, prelude::Uuid};
use serde_json::{Map, Value, json};

use super::{LocalAccounts, Occasion, name_of};
use crate::{
    auth::{AuthError, first_sight, google::GoogleAccount, identity::Keeper, linking},
    models::{
        identities,
        local_accounts::{self, Model, NewAccount},
        one_time_tokens,
        users::{self, NewUser},
    },
};

/// Who has come, and by which way.
pub(super) struct Arrival<'a> {
    pub email: &'a str,
    pub metadata: Map<String, Value>,
    /// Of the sign-up that this proves.
    pub password_hash: Option<String>,
    /// Whether a new password is about to be chosen anyway.
    pub is_recovery: bool,
}

impl LocalAccounts {
    /// The user of a Google account. If the password of the account with its address falls, its owner
    /// is told.
    pub(super) async fn arrive_by_google(
        &self,
        txn: &DatabaseTransaction,
        google: &GoogleAccount,
    ) -> Result<Uuid, AuthError> {
        let before = local_accounts::Entity::find_by_email(txn, &google.email).await?;
        let user_id = linking::google_user(txn, google, self.settings.credits.welcome).await?;
        local_accounts::Entity::touch_sign_in(txn, user_id).await?;
        let after = self.account_in(txn, user_id).await?;
        let had_password = before
            .filter(|before| before.user_id == user_id)
            .is_some_and(|before| before.password_hash.is_some());
        if had_password && after.password_hash.is_none() {
            self.post_in(txn, &after.email, &Occasion::PasswordRemoved)
                .await?;
        }
        Ok(user_id)
    }

    /// The account of a proven address, made if there is none.
    pub(super) async fn arrive(
        &self,
        txn: &DatabaseTransaction,
        arrival: Arrival<'_>,
    ) -> Result<Model, AuthError> {
        // Users before accounts, as everywhere.
        identities::Entity::lock_users(txn, Uuid::nil(), arrival.email).await?;
        if let Some(account) = local_accounts::Entity::lock_by_email(txn, arrival.email).await? {
            return self.settle_in(txn, account, &arrival).await;
        }
        if let Some(user_id) = self.create_proven(txn, &arrival).await? {
            return self.account_in(txn, user_id).await;
        }
        // Somebody else made it at the same moment.
        let account = local_accounts::Entity::lock_by_email(txn, arrival.email)
            .await?
            .ok_or(AuthError::SessionInvalid)?;
        self.settle_in(txn, account, &arrival).await
    }

    /// The owner takes an account that exists.
    async fn settle_in(
        &self,
        txn: &DatabaseTransaction,
        account: Model,
        arrival: &Arrival<'_>,
    ) -> Result<Model, AuthError> {
        let user_id = account.user_id;
        if linking::prove_address(txn, user_id).await?
            && account.password_hash.is_some()
            && !arrival.is_recovery
        {
            self.post_in(txn, arrival.email, &Occasion::PasswordRemoved)
                .await?;
        }
        one_time_tokens::Entity::drop_of(txn, arrival.email).await?;
        local_accounts::Entity::touch_sign_in(txn, user_id).await?;
        self.account_in(txn, user_id).await
    }

    /// Makes the account of a proven address; `None` when it exists by now. A user of another identity
    /// provider with this address gets it, because the address is proven.
    async fn create_proven(
        &self,
        txn: &DatabaseTransaction,
        arrival: &Arrival<'_>,
    ) -> Result<Option<Uuid>, AuthError> {
        let known = users::Entity::find_id_by_email(txn, arrival.email).await?;
        let user_id = known.unwrap_or_else(Uuid::new_v4);
        if known.is_some() {
            let subject = user_id.to_string();
            identities::Entity::tie(txn, user_id, Keeper::Local.as_str(), &subject).await?;
            // Nobody knows who had the log-ins of a user without an account here.
            identities::Entity::end_tokens(txn, user_id).await?;
        } else {
            let name = name_of(&arrival.metadata, arrival.email);
            let user = NewUser {
                id: user_id,
                email: arrival.email,
                display_name: Some(&name),
                avatar_url: None,
            };
            let welcome = self.settings.credits.welcome;
            if !first_sight::create(txn, &user, Keeper::Local, welcome).await? {
                return Ok(None);
            }
        }
        let account = NewAccount {
            user_id,
            email: arrival.email,
            password_hash: arrival.password_hash.as_deref(),
            is_proven: true,
            user_metadata: Value::Object(arrival.metadata.clone()),
            app_metadata: json!({"provider": "email", "providers": ["email"]}),
        };
        if !local_accounts::Entity::insert_if_new(txn, &account).await? {
            return Ok(None);
        }
        one_time_tokens::Entity::drop_of(txn, arrival.email).await?;
        tracing::info!(user.id = %user_id, "an account was created");
        Ok(Some(user_id))
    }

    pub(super) async fn account_in(
        &self,
        txn: &DatabaseTransaction,
        user_id: Uuid,
    ) -> Result<Model, AuthError> {
        local_accounts::Entity::find_by_id(user_id)
            .one(txn)
            .await?
            .ok_or(AuthError::SessionInvalid)
    }
}
