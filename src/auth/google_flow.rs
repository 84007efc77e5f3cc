//! The way to Google and back: where a browser is sent, and what its code is exchanged for.

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use loco_rs::app::AppContext;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use url::{Url, form_urlencoded};

use super::{
    AuthError,
    google::{GoogleAccount, GoogleSignIn, Nonce},
    random::keyed_digest,
};
use crate::{
    net::{api_client, read_limited},
    settings::{self, Secret},
};

/// Limit of the exchange.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest answer of the exchange, bytes.
const MAX_ANSWER_BYTES: u64 = 64 * 1024;

/// Sign-in at Google by redirect.
pub struct GoogleFlow {
    http: reqwest::Client,
    sign_in: Arc<GoogleSignIn>,
    client_id: String,
    client_secret: Secret,
    authorize_url: Url,
    token_url: String,
    /// Makes nonce and verifier of a state, so that neither has to be kept.
    secret: Secret,
}

#[derive(Deserialize)]
struct TokenAnswer {
    id_token: String,
}

impl GoogleFlow {
    /// The flow that the settings ask for; `None` without client id and client secret.
    ///
    /// # Errors
    /// When an HTTP client cannot be made.
    pub fn new(
        google: &settings::Google,
        sign_in: Option<&Arc<GoogleSignIn>>,
        secret: Option<&Secret>,
        user_agent: &str,
    ) -> Result<Option<Self>, crate::net::NetError> {
        let authorize_url = Url::parse(&google.authorize_url()).ok();
        let (
            Some(sign_in),
            Some(client_id),
            Some(client_secret),
            Some(secret),
            Some(authorize_url),
        ) = (
            sign_in,
            google.client_ids.first(),
            &google.client_secret,
            secret,
            authorize_url,
        )
        else {
            return Ok(None);
        };
        Ok(Some(Self {
            http: api_client(user_agent)?,
            sign_in: Arc::clone(sign_in),
            client_id: client_id.clone(),
            client_secret: client_secret.clone(),
            authorize_url,
            token_url: google.token_url(),
            secret: secret.clone(),
        }))
    }

    /// The flow that boot put into the context, when there is one.
    #[must_use]
    pub fn of(ctx: &AppContext) -> Option<Arc<Self>> {
        ctx.shared_store.get::<Arc<Self>>()
    }

    /// Where a browser signs in; it comes back to `callback` with this state.
    ///
    /// # Errors
    /// [`AuthError::Crypto`].
    pub fn authorize_url(&self, state: &str, callback: &str) -> Result<String, AuthError> {
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(self.verifier(state)?.as_bytes()));
        let mut url = self.authorize_url.clone();
        url.query_pairs_mut().extend_pairs([
            ("client_id", self.client_id.as_str()),
            ("redirect_uri", callback),
            ("response_type", "code"),
            ("scope", "openid email profile"),
            ("state", state),
            ("nonce", &self.nonce(state)?),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ]);
        Ok(url.into())
    }

    /// Exchanges the code that Google sent along, and proves what it stands for.
    ///
    /// # Errors
    /// [`AuthError::GoogleRefused`], [`AuthError::Unavailable`].
    pub async fn exchange(
        &self,
        state: &str,
        code: &str,
        callback: &str,
    ) -> Result<GoogleAccount, AuthError> {
        let verifier = self.verifier(state)?;
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "authorization_code")
            .append_pair("code", code)
            .append_pair("client_id", &self.client_id)
            .append_pair("client_secret", self.client_secret.expose())
            .append_pair("redirect_uri", callback)
            .append_pair("code_verifier", &verifier)
            .finish();
        let away = |error: reqwest::Error| AuthError::Unavailable(error.without_url().to_string());
        let response = self
            .http
            .post(&self.token_url)
            .timeout(EXCHANGE_TIMEOUT)
            .header(
                reqwest::header::CONTENT_TYPE,
                "application/x-www-form-urlencoded",
            )
            .body(form)
            .send()
            .await
            .map_err(away)?;
        let status = response.status();
        if status.is_server_error() || status.as_u16() == 429 {
            return Err(AuthError::Unavailable(format!("Google answered {status}")));
        }
        if !status.is_success() {
            tracing::warn!(
                status = status.as_u16(),
                "Google did not exchange a sign-in code"
            );
            return Err(AuthError::GoogleRefused("its code was not exchanged"));
        }
        let bytes = read_limited(response, MAX_ANSWER_BYTES)
            .await
            .map_err(|error| AuthError::Unavailable(error.to_string()))?;
        let answer: TokenAnswer = serde_json::from_slice(&bytes)
            .map_err(|_| AuthError::GoogleRefused("the exchange gave no ID token"))?;
        let nonce = self.nonce(state)?;
        let account = self
            .sign_in
            .verify(&answer.id_token, Nonce::Exactly(&nonce))
            .await?;
        Ok(account)
    }

    fn nonce(&self, state: &str) -> Result<String, AuthError> {
        let digest = keyed_digest(&self.secret, &["google nonce", state])?;
        Ok(URL_SAFE_NO_PAD.encode(digest))
    }

    fn verifier(&self, state: &str) -> Result<String, AuthError> {
        let digest = keyed_digest(&self.secret, &["google verifier", state])?;
        Ok(URL_SAFE_NO_PAD.encode(digest))
    }
}
