//! Our own accounts as an identity provider.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Map, Value};

use super::{
    AuthError,
    google::{GoogleSignIn, Nonce},
    identity::{Identity, Keeper, ProviderAccount, Sighting, SignedIn, SignedUp},
    local::{self, Back, Change, LocalAccounts, Session},
    tokens::{Claims, TokenKeys},
};
use crate::models::auth_sessions::LogoutScope;

/// The provider over the accounts of this database.
pub struct LocalProvider {
    pub accounts: Arc<LocalAccounts>,
    pub keys: Arc<TokenKeys>,
    pub google: Option<Arc<GoogleSignIn>>,
}

impl LocalProvider {
    /// The frontend's page for what comes by mail.
    fn back(&self, page: &str) -> Back {
        Back {
            redirect_to: Some(format!("{}{page}", self.accounts.redirects().frontend())),
            challenge: None,
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
        let signed_up = self
            .accounts
            .sign_up(
                email,
                Some(password),
                metadata(display_name),
                self.back("/auth/callback"),
            )
            .await?;
        Ok(match signed_up {
            local::SignedUp::Session(_) => SignedUp::Ready,
            local::SignedUp::MailSent => SignedUp::Unconfirmed,
        })
    }

    async fn send_magic_link(
        &self,
        email: &str,
        display_name: Option<&str>,
    ) -> Result<(), AuthError> {
        let back = self.back("/auth/callback");
        self.accounts
            .send_magic_link(email, metadata(display_name), true, back)
            .await
    }

    async fn log_in(&self, email: &str, password: &str) -> Result<SignedIn, AuthError> {
        self.accounts.log_in(email, password).await.map(Into::into)
    }

    async fn send_recovery(&self, email: &str) -> Result<(), AuthError> {
        let back = self.back("/auth/reset-password");
        self.accounts.send_recovery(email, back).await
    }

    async fn reset_password(&self, token: &str, new_password: &str) -> Result<(), AuthError> {
        // Three parts: an access token; what is mailed has no dots.
        if !token.contains('.') {
            let reset = self.accounts.reset_password(token, new_password).await;
            return reset.map_err(|error| match error {
                AuthError::LinkInvalid => AuthError::ResetTokenInvalid,
                other => other,
            });
        }
        let claims = self.keys.verify(token).await.map_err(|error| match error {
            AuthError::Unavailable(_) => error,
            _ => AuthError::ResetTokenInvalid,
        })?;
        let change = Change {
            password: Some(new_password.to_owned()),
            ..Change::default()
        };
        let changed = self.accounts.update(&claims, change).await;
        changed.map(|_| ()).map_err(|error| match error {
            AuthError::SessionInvalid => AuthError::ResetTokenInvalid,
            other => other,
        })
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
        self.accounts
            .sign_in_with_google(&account)
            .await
            .map(Into::into)
    }

    async fn sign_out(&self, _token: &str, claims: &Claims) -> Result<(), AuthError> {
        self.accounts
            .log_out(claims.subject, claims.session_id, LogoutScope::Local)
            .await
    }

    async fn sign_in_developer(&self, email: &str, name: &str) -> Result<SignedIn, AuthError> {
        self.accounts
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
