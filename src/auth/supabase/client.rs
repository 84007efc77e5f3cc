//! GoTrue's REST interface (platform contract 3): one call, one bounded wait, no state.

use std::time::Duration;

use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};
use url::Url;

use crate::{
    auth::AuthError,
    net::{NetError, api_client, read_limited, retry_after},
    settings::{Secret, Settings},
};

/// Largest answer that is read, bytes.
const MAX_ANSWER_BYTES: u64 = 1024 * 1024;
/// Longest text of the provider that is passed on, characters.
const MAX_TEXT_CHARS: usize = 300;
/// The answers we understand (`X-Supabase-Api-Version`).
const API_VERSION: &str = "2024-01-01";

/// In whose name a call is made.
#[derive(Debug, Clone, Copy)]
pub(super) enum By<'a> {
    /// The public key: anybody.
    Anybody,
    /// A user's access token.
    User(&'a str),
    /// The service key.
    Service,
}

/// One call.
pub(super) struct Call<'a> {
    pub method: Method,
    /// Below the base, without the first slash.
    pub path: &'a str,
    pub query: &'a [(&'a str, &'a str)],
    pub by: By<'a>,
    pub body: Option<Value>,
}

/// What the provider said no to.
#[derive(Debug)]
pub(super) struct Refusal {
    pub status: StatusCode,
    pub code: String,
    pub text: String,
}

/// Why a call brought nothing.
#[derive(Debug)]
pub(super) enum CallError {
    Refused(Refusal),
    RateLimited(Option<Duration>),
    /// No answer, an answer of a proxy, or the provider's own failure with its text.
    Unavailable(String),
}

pub(super) struct Client {
    http: reqwest::Client,
    base: String,
    anon_key: Secret,
    service_key: Option<Secret>,
    timeout: Duration,
}

impl Client {
    /// The client of the project that the settings name; `None` when they name none.
    pub(super) fn new(settings: &Settings, user_agent: &str) -> Result<Option<Self>, NetError> {
        let supabase = &settings.identity.supabase;
        let (Some(base), Some(anon_key)) = (supabase.auth_url(), &settings.auth.anon_key) else {
            return Ok(None);
        };
        Ok(Some(Self {
            http: api_client(user_agent)?,
            base,
            anon_key: anon_key.clone(),
            service_key: supabase.service_role_key.clone(),
            timeout: supabase.timeout(),
        }))
    }

    pub(super) const fn has_service_key(&self) -> bool {
        self.service_key.is_some()
    }

    /// Makes a call and reads its JSON; an empty answer is null.
    pub(super) async fn send(&self, call: Call<'_>) -> Result<Value, CallError> {
        let by = call.by;
        let response = self
            .request(call)?
            .send()
            .await
            .map_err(|error| CallError::Unavailable(NetError::from(error).to_string()))?;
        let status = response.status();
        let wait = retry_after(response.headers());
        let bytes = read_limited(response, MAX_ANSWER_BYTES)
            .await
            .map_err(|error| CallError::Unavailable(error.to_string()))?;
        let answer: Option<Value> = if bytes.is_empty() {
            Some(Value::Null)
        } else {
            serde_json::from_slice(&bytes).ok()
        };
        if status.is_success() {
            let unreadable = || CallError::Unavailable("its answer cannot be read".to_owned());
            return answer.ok_or_else(unreadable);
        }
        Err(failure(status, &answer.unwrap_or_default(), wait, by))
    }

    fn request(&self, call: Call<'_>) -> Result<reqwest::RequestBuilder, CallError> {
        let address = format!("{}/{}", self.base, call.path);
        let mut url = Url::parse(&address)
            .map_err(|_| CallError::Unavailable("SUPABASE_URL is no address".to_owned()))?;
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(call.query);
        }
        let (key, bearer) = match call.by {
            By::Anybody => (&self.anon_key, self.anon_key.expose()),
            By::User(token) => (&self.anon_key, token),
            By::Service => {
                let key = self.service_key.as_ref().ok_or_else(|| {
                    CallError::Unavailable("SUPABASE_SERVICE_ROLE_KEY is not set".to_owned())
                })?;
                (key, key.expose())
            }
        };
        let request = self
            .http
            .request(call.method, url)
            .timeout(self.timeout)
            .header("apikey", key.expose())
            .header("x-supabase-api-version", API_VERSION)
            .bearer_auth(bearer);
        Ok(match call.body {
            Some(body) => request
                .header(header::CONTENT_TYPE, "application/json;charset=UTF-8")
                .body(body.to_string()),
            None => request,
        })
    }
}

fn failure(status: StatusCode, answer: &Value, wait: Option<Duration>, by: By<'_>) -> CallError {
    let first = |names: &[&str]| {
        let text = names
            .iter()
            .find_map(|name| answer.get(name).and_then(Value::as_str))
            .map(str::trim)
            .filter(|text| !text.is_empty())?;
        Some(text.chars().take(MAX_TEXT_CHARS).collect::<String>())
    };
    let text = first(&["msg", "message", "error_description", "error"]);
    let code = first(&["error_code", "code", "error"]).unwrap_or_default();
    if status == StatusCode::TOO_MANY_REQUESTS {
        return CallError::RateLimited(wait);
    }
    // Nobody of ours is to blame for a key that the project does not take.
    let is_key_refused = status == StatusCode::UNAUTHORIZED && !matches!(by, By::User(_));
    if !status.is_client_error() || status == StatusCode::REQUEST_TIMEOUT || is_key_refused {
        let text = text.unwrap_or_default();
        return CallError::Unavailable(format!("status {}: {text}", status.as_u16()));
    }
    let text = text.unwrap_or_else(|| "The identity provider refused the request.".to_owned());
    CallError::Refused(Refusal { status, code, text })
}

impl From<CallError> for AuthError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Refused(Refusal { code, text, .. }) => Self::ProviderRefused { code, text },
            CallError::RateLimited(retry_after) => Self::RateLimited { retry_after },
            CallError::Unavailable(reason) => Self::Unavailable(reason),
        }
    }
}

/// What every call with an e-mail carries for GoTrue's captcha, which we do not use.
pub(super) fn with_security(mut body: Value) -> Value {
    if let Some(fields) = body.as_object_mut() {
        fields.insert("gotrue_meta_security".to_owned(), json!({}));
    }
    body
}

/// The same, where a code exchange could be asked for and is not.
pub(super) fn without_exchange(body: Value) -> Value {
    let mut body = with_security(body);
    if let Some(fields) = body.as_object_mut() {
        fields.insert("code_challenge".to_owned(), Value::Null);
        fields.insert("code_challenge_method".to_owned(), Value::Null);
    }
    body
}
