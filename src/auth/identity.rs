//! The one trait of identity providers: what `/api/auth/*` and the first sight of a user ask of
//! Supabase and of our own accounts alike.

use std::sync::Arc;

use async_trait::async_trait;
use loco_rs::app::AppContext;
use sea_orm::prelude::Uuid;
use serde_json::{Map, Value};

use super::{AuthError, tokens::Claims};
use crate::models::local_accounts;

/// Who keeps an identity; with the subject it names a user (`identities`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeper {
    /// Accounts in this database.
    Local,
    /// A Supabase project.
    Supabase,
    /// A Google account that is tied to one of our own.
    Google,
}

impl Keeper {
    /// The text in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Supabase => "supabase",
            Self::Google => "google",
        }
    }
}

/// A signed-in user's tokens.
#[derive(Debug)]
pub struct SignedIn {
    pub access_token: String,
    pub refresh_token: String,
    /// Seconds from now.
    pub expires_in: i64,
    pub account: ProviderAccount,
}

/// The account as its provider describes it.
#[derive(Debug)]
pub enum ProviderAccount {
    Local(local_accounts::Model),
    /// GoTrue's user object.
    Foreign(Value),
}

/// How a sign-up ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignedUp {
    /// The account can be used.
    Ready,
    /// A mail was sent; the account can be used once its link was opened.
    Unconfirmed,
}

/// What a provider knows about the subject of a token.
#[derive(Debug)]
pub struct Sighting {
    pub subject: Uuid,
    /// Trimmed and lower-case.
    pub email: Option<String>,
    /// Whether the provider has seen proof that the address is the subject's.
    pub is_proven: bool,
    pub user_metadata: Map<String, Value>,
}

/// An identity provider. Calls are stateless: whoever is meant is named by the arguments.
///
/// All methods fail with [`AuthError::Unavailable`] when the provider cannot be reached and with
/// [`AuthError::RateLimited`] when it is asked too often.
#[async_trait]
pub trait Identity: Send + Sync {
    /// Whose subjects the tokens name.
    fn keeper(&self) -> Keeper;

    /// Creates an account with a password.
    ///
    /// # Errors
    /// [`AuthError::EmailTaken`], [`AuthError::WeakPassword`], [`AuthError::ProviderRefused`].
    async fn sign_up(
        &self,
        email: &str,
        password: &str,
        display_name: Option<&str>,
    ) -> Result<SignedUp, AuthError>;

    /// Mails a link that signs in, for a new account too.
    ///
    /// # Errors
    /// [`AuthError::ProviderRefused`].
    async fn send_magic_link(
        &self,
        email: &str,
        display_name: Option<&str>,
    ) -> Result<(), AuthError>;

    /// Signs in with a password.
    ///
    /// # Errors
    /// [`AuthError::InvalidCredentials`], [`AuthError::ProviderRefused`].
    async fn log_in(&self, email: &str, password: &str) -> Result<SignedIn, AuthError>;

    /// Mails a link that lets its reader choose a new password. Succeeds for unknown addresses.
    ///
    /// # Errors
    /// Only those of every method.
    async fn send_recovery(&self, email: &str) -> Result<(), AuthError>;

    /// Sets a password; `token` is an access token or the token hash of a recovery mail.
    ///
    /// # Errors
    /// [`AuthError::ResetTokenInvalid`], [`AuthError::WeakPassword`], [`AuthError::ProviderRefused`].
    async fn reset_password(&self, token: &str, new_password: &str) -> Result<(), AuthError>;

    /// Signs in with a Google ID token; `nonce` is the text whose hash the token carries.
    ///
    /// # Errors
    /// [`AuthError::GoogleRefused`].
    async fn sign_in_with_google(
        &self,
        id_token: &str,
        nonce: Option<&str>,
    ) -> Result<SignedIn, AuthError>;

    /// Ends the log-in of a proven token.
    ///
    /// # Errors
    /// [`AuthError::ProviderRefused`].
    async fn sign_out(&self, token: &str, claims: &Claims) -> Result<(), AuthError>;

    /// Signs in as a developer's account without any proof, making it when there is none.
    ///
    /// # Errors
    /// [`AuthError::DeveloperNotMade`], [`AuthError::ProviderRefused`].
    async fn sign_in_developer(&self, email: &str, name: &str) -> Result<SignedIn, AuthError>;

    /// What the provider knows about the subject of a proven token.
    ///
    /// # Errors
    /// [`AuthError::SessionInvalid`] when it knows no such subject.
    async fn look_up(&self, token: &str, claims: &Claims) -> Result<Sighting, AuthError>;
}

/// The identity provider that boot put into the context.
///
/// # Errors
/// When the context was not made by this application's hooks.
pub fn of(ctx: &AppContext) -> loco_rs::Result<Arc<dyn Identity>> {
    ctx.shared_store
        .get::<Arc<dyn Identity>>()
        .ok_or_else(|| loco_rs::Error::string("the identity provider is missing from the context"))
}
