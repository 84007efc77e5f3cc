//! Who may push deliveries: the holder of the internal key, or Google in the name of a service account.

use std::sync::Arc;

use loco_rs::app::AppContext;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{
    google_tokens::{GoogleTokenError, GoogleTokens},
    key_set::KeysUnavailable,
};
use crate::{
    net::NetError,
    settings::{self, Secret},
};

/// Guards `POST /api/jobs/process`. Without key and account nobody passes.
pub struct InternalGate {
    key: Option<Secret>,
    google: Option<GoogleTokens>,
}

/// Why a caller does not pass.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    #[error("the key or token is missing or wrong")]
    Refused,
    /// Google's keys are needed to tell and cannot be had.
    #[error("the token cannot be checked now: {0}")]
    Unknown(KeysUnavailable),
}

impl InternalGate {
    /// The gate that the settings ask for; tokens must be meant for `public_url` unless an audience
    /// is set.
    ///
    /// # Errors
    /// When an HTTP client cannot be made.
    pub fn new(
        queue: &settings::Queue,
        public_url: &str,
        user_agent: &str,
    ) -> Result<Self, NetError> {
        let cloud = &queue.cloud_tasks;
        let google = match &cloud.oidc_service_account {
            None => None,
            Some(email) => {
                let audience = cloud.oidc_audience.as_deref().unwrap_or(public_url);
                Some(GoogleTokens::new(
                    &cloud.oidc_certs_url,
                    audience,
                    email,
                    user_agent,
                )?)
            }
        };
        Ok(Self {
            key: queue.internal_api_key.clone(),
            google,
        })
    }

    /// The gate that boot put into the context.
    ///
    /// # Errors
    /// When the context was not made by this application's hooks.
    pub fn of(ctx: &AppContext) -> loco_rs::Result<Arc<Self>> {
        ctx.shared_store
            .get::<Arc<Self>>()
            .ok_or_else(|| loco_rs::Error::string("the internal gate is missing from the context"))
    }

    /// Lets a bearer pass or not.
    ///
    /// # Errors
    /// See [`GateError`].
    pub async fn check(&self, bearer: &str) -> Result<(), GateError> {
        if self.key.as_ref().is_some_and(|key| is_same(key, bearer)) {
            return Ok(());
        }
        let Some(google) = &self.google else {
            return Err(GateError::Refused);
        };
        match google.verify(bearer).await {
            Ok(()) => Ok(()),
            Err(GoogleTokenError::Refused(reason)) => {
                tracing::warn!(reason, "a pushed delivery had a token that is not accepted");
                Err(GateError::Refused)
            }
            Err(GoogleTokenError::NoKeys(error)) => Err(GateError::Unknown(error)),
        }
    }
}

/// Whether `given` is the internal key: compares digests in constant time, so that neither content nor
/// length shows in the duration.
#[must_use]
pub fn is_same(key: &Secret, given: &str) -> bool {
    let ours = Sha256::digest(key.expose().as_bytes());
    let theirs = Sha256::digest(given.as_bytes());
    ours.ct_eq(&theirs).into()
}
