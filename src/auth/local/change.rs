//! What owners change about their account: password, address, metadata.

use sea_orm::{DatabaseTransaction, prelude::Uuid};
use serde_json::{Map, Value};

use super::{Back, LocalAccounts, Occasion};
use crate::{
    auth::{AuthError, tokens::Claims},
    models::{
        auth_sessions::{self, LogoutScope},
        begin,
        local_accounts::{self, Model},
        users,
    },
};

/// Largest metadata of an account, bytes; it goes into every access token.
pub const METADATA_MAX_BYTES: usize = 4096;

/// What to change; what is absent stays.
#[derive(Debug, Default)]
pub struct Change {
    pub password: Option<String>,
    /// Lower-case.
    pub email: Option<String>,
    /// Merged into the metadata; `null` takes a key away.
    pub metadata: Option<Map<String, Value>>,
    /// Where the link that proves the new address leads.
    pub back: Back,
}

impl LocalAccounts {
    /// Changes an account; a new address counts only once its link was followed. A new password ends
    /// every other log-in.
    ///
    /// # Errors
    /// [`AuthError::SamePassword`], [`AuthError::WeakPassword`], [`AuthError::LeakedPassword`],
    /// [`AuthError::EmailTaken`], [`AuthError::MetadataTooLarge`].
    pub async fn update(&self, claims: &Claims, change: Change) -> Result<Model, AuthError> {
        let (user_id, session_id) = (claims.subject, claims.session_id);
        let account = self.account(claims).await?;
        let hash = match &change.password {
            None => None,
            Some(password) => {
                let old = account.password_hash.as_deref();
                if old.is_some() && self.passwords.verify(password, old).await? {
                    return Err(AuthError::SamePassword);
                }
                Some(self.passwords.hash_new(password, &account.email).await?)
            }
        };
        let txn = begin(&self.db).await?;
        let account = local_accounts::Entity::lock(&txn, user_id)
            .await?
            .ok_or(AuthError::SessionInvalid)?;
        if let Some(session_id) = session_id
            && !auth_sessions::Entity::is_live(&txn, user_id, session_id).await?
        {
            return Err(AuthError::SessionInvalid);
        }
        if let Some(hash) = hash {
            self.put_password(&txn, user_id, session_id, &account.email, &hash)
                .await?;
        }
        if let Some(metadata) = change.metadata {
            let merged = merge(&account.user_metadata, metadata)?;
            local_accounts::Entity::set_metadata(&txn, user_id, merged).await?;
        }
        if let Some(email) = change.email.filter(|email| *email != account.email) {
            self.ask_for_email(&txn, &account, email, change.back)
                .await?;
        }
        let account = self.account_in(&txn, user_id).await?;
        txn.commit().await?;
        self.carrier.inside().committed();
        Ok(account)
    }

    /// Puts a new password in place: other log-ins end, and the owner is told.
    pub(super) async fn put_password(
        &self,
        txn: &DatabaseTransaction,
        user_id: Uuid,
        session_id: Option<Uuid>,
        email: &str,
        hash: &str,
    ) -> Result<(), AuthError> {
        local_accounts::Entity::set_password(txn, user_id, hash).await?;
        let reason = "the password was changed";
        let scope = LogoutScope::Others;
        auth_sessions::Entity::end(txn, user_id, session_id, scope, reason).await?;
        self.post_in(txn, email, &Occasion::PasswordChanged).await?;
        tracing::info!(user.id = %user_id, "a password was changed");
        Ok(())
    }

    async fn ask_for_email(
        &self,
        txn: &DatabaseTransaction,
        account: &Model,
        email: String,
        back: Back,
    ) -> Result<(), AuthError> {
        let holder = users::Entity::find_id_by_email(txn, &email).await?;
        if holder.is_some_and(|holder| holder != account.user_id) {
            return Err(AuthError::EmailTaken);
        }
        let user_id = account.user_id;
        local_accounts::Entity::await_email(txn, user_id, &email).await?;
        self.post_in(txn, &email, &Occasion::EmailChange { user_id, back })
            .await?;
        let notice = Occasion::EmailChangeNotice { new_email: email };
        self.post_in(txn, &account.email, &notice).await
    }
}

fn merge(old: &Value, change: Map<String, Value>) -> Result<Value, AuthError> {
    let mut merged = old.as_object().cloned().unwrap_or_default();
    for (key, value) in change {
        if value.is_null() {
            merged.remove(&key);
        } else {
            merged.insert(key, value);
        }
    }
    let size = serde_json::to_vec(&merged).map_or(usize::MAX, |text| text.len());
    if size > METADATA_MAX_BYTES {
        return Err(AuthError::MetadataTooLarge);
    }
    Ok(Value::Object(merged))
}
