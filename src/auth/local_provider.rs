//! Our own accounts as an identity provider.

use std::sync::Arc;

use async_trait::async_trait;
use sea_orm::DatabaseConnection;
use serde_json::{Map, Value};

use super::{
    AuthError,
    google::{GoogleSignIn, Nonce},
    identity::{Identity, Keeper, ProviderAccount, Sighting, SignedIn, SignedUp},
    local::{LocalAccounts, Session},
    passwords::Passwords,
    tokens::{Claims, TokenKeys},
};
use crate::{models::auth_sessions::LogoutScope, settings::Settings};

/// The provider over the accounts of this database.
pub struct LocalProvider {
    pub db: DatabaseConnection,
    pub keys: Arc<TokenKeys>,
    pub passwords: Arc<Passwords>,
    pub settings: Arc<Settings>,
    pub google: Option<Arc<GoogleSignIn>>,
}

impl LocalProvider {
    fn accounts(&self) -> LocalAccounts<'_> {
        LocalAccounts {
            db: &self.db,
            keys: &self.keys,
            passwords: &self.passwords,
            settings: &self.settings,
        }
    }
}

#[async_trait]
impl Identity for LocalProvider {
    fn keeper(&self) -> Keeper {
        Keeper::Local
    }

    async fn sign_up(
        &self,
        email: &str,
        password: &str,
        display_name: Option<&str>,
    ) -> Result<SignedUp, AuthError> {
        self.accounts()
            .sign_up(email, password, metadata(display_name))
            .await?;
        Ok(SignedUp::Ready)
    }

    async fn send_magic_link(
        &self,
        _email: &str,
        _display_name: Option<&str>,
    ) -> Result<(), AuthError> {
        Err(AuthError::Crypto("not there yet".to_owned()))
    }

    async fn log_in(&self, email: &str, password: &str) -> Result<SignedIn, AuthError> {
        self.accounts()
            .log_in(email, password)
            .await
            .map(Into::into)
    }

    async fn send_recovery(&self, _email: &str) -> Result<(), AuthError> {
        Err(AuthError::Crypto("not there yet".to_owned()))
    }

    async fn reset_password(&self, _token: &str, _new_password: &str) -> Result<(), AuthError> {
        Err(AuthError::Crypto("not there yet".to_owned()))
    }

    async fn sign_in_with_google(
        &self,
        id_token: &str,
        nonce: Option<&str>,
    ) -> Result<SignedIn, AuthError> {
        let google = self
            .google
            .as_ref()
            .ok_or(AuthError::GoogleRefused("GOOGLE_CLIENT_ID is not set"))?;
        let nonce = nonce.map_or(Nonce::Absent, Nonce::HashOf);
        let account = google.verify(id_token, nonce).await?;
        self.accounts()
            .sign_in_with_google(&account)
            .await
            .map(Into::into)
    }

    async fn sign_out(&self, _token: &str, claims: &Claims) -> Result<(), AuthError> {
        self.accounts()
            .log_out(claims.subject, claims.session_id, LogoutScope::Local)
            .await
    }

    async fn sign_in_developer(&self, email: &str, name: &str) -> Result<SignedIn, AuthError> {
        self.accounts()
            .sign_in_developer(email, metadata(Some(name)))
            .await
            .map(Into::into)
    }

    async fn look_up(&self, _token: &str, claims: &Claims) -> Result<Sighting, AuthError> {
        // A subject that is not in this database: its token was signed with a trusted key elsewhere.
        let email = claims.email.as_deref().unwrap_or_default();
        Ok(Sighting {
            subject: claims.subject,
            email: Some(email.trim().to_lowercase()).filter(|email| !email.is_empty()),
            is_proven: false,
            user_metadata: claims.user_metadata.clone(),
        })
    }
}

impl From<Session> for SignedIn {
    fn from(session: Session) -> Self {
        Self {
            access_token: session.access_token,
            refresh_token: session.refresh_token,
            expires_in: session.expires_in,
            account: ProviderAccount::Local(session.account),
        }
    }
}

fn metadata(display_name: Option<&str>) -> Map<String, Value> {
    let name = display_name.map(|name| ("display_name".to_owned(), name.into()));
    name.into_iter().collect()
}
