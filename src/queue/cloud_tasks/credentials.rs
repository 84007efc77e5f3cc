//! Access tokens for Google's APIs: of a service account's file, or of the machine.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use chrono::Utc;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use url::Url;

use crate::{
    net::{NetError, read_limited},
    settings::{self, Secret, is_loopback},
};

/// The only scope that is asked for.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-tasks";
/// Where the machine's own account gives its tokens, below the metadata server's base.
const METADATA_PATH: &str = "/computeMetadata/v1/instance/service-accounts/default/token";
/// Grant of RFC 7523.
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// How long a signed request for a token may be used, seconds.
const ASSERTION_S: i64 = 600;
/// A token is not used any more when it has less than this left, or half its life.
const MARGIN: Duration = Duration::from_mins(2);
/// Largest answer of a token endpoint, bytes.
const MAX_ANSWER: u64 = 64 * 1024;

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    #[error("the service account's file cannot be used: {0}")]
    File(String),
    #[error("the token endpoint failed: {0}")]
    Net(#[from] NetError),
    /// The endpoint answered, and it was no.
    #[error("the token endpoint answered {status}: {reason}")]
    Refused { status: u16, reason: String },
    #[error("the token endpoint's answer cannot be read")]
    Unreadable,
}

/// Gives access tokens and keeps the current one.
pub struct Credentials {
    source: Source,
    http: reqwest::Client,
    timeout: Duration,
    current: Mutex<Option<Token>>,
}

enum Source {
    /// A stand-in on loopback asks for none.
    None,
    Account(Box<Account>),
    Metadata(String),
}

struct Account {
    email: String,
    key_id: Option<String>,
    key: EncodingKey,
    token_uri: String,
}

struct Token {
    value: Secret,
    good_until: Instant,
}

/// The parts of a service account's file that are needed.
#[derive(Deserialize)]
struct AccountFile {
    #[serde(rename = "type")]
    kind: String,
    client_email: String,
    private_key: String,
    private_key_id: Option<String>,
    token_uri: String,
}

#[derive(Serialize)]
struct Assertion<'a> {
    iss: &'a str,
    scope: &'a str,
    aud: &'a str,
    iat: i64,
    exp: i64,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: Secret,
    expires_in: u64,
}

#[derive(Deserialize)]
struct TokenRefusal {
    error: Option<String>,
    error_description: Option<String>,
}

impl Credentials {
    /// The credentials that the settings name: a file, else none for a stand-in, else the machine's.
    ///
    /// # Errors
    /// [`CredentialsError::File`].
    pub fn new(
        settings: &settings::CloudTasks,
        http: reqwest::Client,
    ) -> Result<Self, CredentialsError> {
        let source = match &settings.credentials {
            Some(path) => Source::Account(Box::new(Account::read(path)?)),
            None if settings.is_local() => Source::None,
            None => Source::Metadata(settings.metadata_base.trim_end_matches('/').to_owned()),
        };
        Ok(Self {
            source,
            http,
            timeout: Duration::from_millis(settings.call_timeout_ms),
            current: Mutex::new(None),
        })
    }

    /// A token that is good for a while; `None` when none is needed.
    ///
    /// # Errors
    /// See [`CredentialsError`].
    pub async fn token(&self) -> Result<Option<Secret>, CredentialsError> {
        if matches!(self.source, Source::None) {
            return Ok(None);
        }
        // Held while asking, so that many calls at once ask once.
        let mut current = self.current.lock().await;
        if let Some(token) = current.as_ref()
            && token.good_until > Instant::now()
        {
            return Ok(Some(token.value.clone()));
        }
        let answer = match &self.source {
            Source::None => return Ok(None),
            Source::Account(account) => self.by_account(account).await?,
            Source::Metadata(base) => self.by_metadata(base).await?,
        };
        let life = Duration::from_secs(answer.expires_in);
        let good_for = life.saturating_sub(MARGIN).max(life / 2);
        let good_until = Instant::now()
            .checked_add(good_for)
            .ok_or(CredentialsError::Unreadable)?;
        *current = Some(Token {
            value: answer.access_token.clone(),
            good_until,
        });
        Ok(Some(answer.access_token))
    }

    /// Throws a token away that the API refused.
    pub async fn forget(&self, refused: &Secret) {
        let mut current = self.current.lock().await;
        if current
            .as_ref()
            .is_some_and(|token| token.value == *refused)
        {
            *current = None;
        }
    }

    async fn by_account(&self, account: &Account) -> Result<TokenAnswer, CredentialsError> {
        let form = [("grant_type", GRANT), ("assertion", &account.assertion()?)];
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let request = self
            .http
            .post(&account.token_uri)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body);
        self.ask(request).await
    }

    async fn by_metadata(&self, base: &str) -> Result<TokenAnswer, CredentialsError> {
        let request = self
            .http
            .get(format!("{base}{METADATA_PATH}"))
            .header("metadata-flavor", "Google");
        self.ask(request).await
    }

    async fn ask(&self, request: reqwest::RequestBuilder) -> Result<TokenAnswer, CredentialsError> {
        let response = request
            .timeout(self.timeout)
            .send()
            .await
            .map_err(NetError::from)?;
        let status = response.status();
        let bytes = read_limited(response, MAX_ANSWER).await?;
        if !status.is_success() {
            let refusal: Option<TokenRefusal> = serde_json::from_slice(&bytes).ok();
            let reason = refusal
                .and_then(|refusal| refusal.error_description.or(refusal.error))
                .unwrap_or_else(|| "no reason given".to_owned());
            return Err(CredentialsError::Refused {
                status: status.as_u16(),
                reason: reason.chars().take(200).collect(),
            });
        }
        serde_json::from_slice(&bytes).map_err(|_| CredentialsError::Unreadable)
    }
}

impl Account {
    fn read(path: &Path) -> Result<Self, CredentialsError> {
        let fault = |text: &str| CredentialsError::File(text.to_owned());
        let text =
            std::fs::read(path).map_err(|error| CredentialsError::File(error.to_string()))?;
        // The parser's own message may quote the file.
        let file: AccountFile = serde_json::from_slice(&text)
            .map_err(|_| fault("it is not the JSON of a service account"))?;
        if file.kind != "service_account" {
            return Err(fault("its type is not service_account"));
        }
        let is_safe = Url::parse(&file.token_uri)
            .is_ok_and(|url| url.scheme() == "https" || is_loopback(&url));
        if !is_safe {
            return Err(fault("its token_uri is not https"));
        }
        let key = EncodingKey::from_rsa_pem(file.private_key.as_bytes())
            .map_err(|_| fault("its private key is not an RSA key in PEM"))?;
        Ok(Self {
            email: file.client_email,
            key_id: file.private_key_id,
            key,
            token_uri: file.token_uri,
        })
    }

    fn assertion(&self) -> Result<String, CredentialsError> {
        let now = Utc::now().timestamp();
        let mut header = Header::new(Algorithm::RS256);
        header.kid.clone_from(&self.key_id);
        let claims = Assertion {
            iss: &self.email,
            scope: SCOPE,
            aud: &self.token_uri,
            iat: now,
            exp: now.saturating_add(ASSERTION_S),
        };
        encode(&header, &claims, &self.key)
            .map_err(|_| CredentialsError::File("its private key cannot sign".to_owned()))
    }
}
