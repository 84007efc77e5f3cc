//! One call to a provider's API: bounded in time and size, its failure in our terms.

use bytes::Bytes;
use reqwest::{Method, RequestBuilder, header};
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use super::{Api, Form, Reply, blocking, judge};
use crate::{
    generation::error::{FaultClass, ProviderError},
    net::{self, NetError, read_limited},
};

/// Largest answer that holds no pictures, bytes.
const ANSWER_BYTES: u64 = 1024 * 1024;
/// Largest answer with pictures in it, bytes: four of 20 MB as base64.
const PICTURES_BYTES: u64 = 110 * 1024 * 1024;
/// From this size on, JSON is read and written on a thread of its own, bytes.
const LARGE_BYTES: usize = 128 * 1024;

/// A call to be sent.
pub struct Call<'a> {
    api: &'a Api,
    method: Method,
    url: Result<Url, ProviderError>,
    headers: Vec<(&'static str, String)>,
    body: Option<Value>,
    form: Option<Form>,
    /// Texts that upstream may repeat in its errors; they are hidden there.
    said: Vec<String>,
    max_bytes: u64,
}

/// A successful answer.
#[derive(Debug)]
pub struct Answer {
    /// The whole body when it is no JSON.
    pub bytes: Bytes,
    /// `Content-Type` as upstream claims it.
    pub content_type: String,
    pub headers: header::HeaderMap,
    json: Option<Value>,
    is_submission: bool,
}

impl<'a> Call<'a> {
    pub(super) const fn new(api: &'a Api, method: Method, url: Result<Url, ProviderError>) -> Self {
        Self {
            api,
            method,
            url,
            headers: Vec::new(),
            body: None,
            form: None,
            said: Vec::new(),
            max_bytes: ANSWER_BYTES,
        }
    }

    /// Adds a header, its name in small letters. JSON is accepted unless another `accept` is named.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Adds pairs to the query.
    #[must_use]
    pub fn query(mut self, pairs: &[(&str, &str)]) -> Self {
        if let Ok(url) = &mut self.url {
            url.query_pairs_mut().extend_pairs(pairs);
        }
        self
    }

    /// Says that the answer has pictures in it.
    #[must_use]
    pub const fn with_pictures(mut self) -> Self {
        self.max_bytes = PICTURES_BYTES;
        self
    }

    /// Sends JSON.
    #[must_use]
    pub fn json(mut self, body: Value) -> Self {
        judge::texts_of(&body, &mut self.said);
        self.body = Some(body);
        self
    }

    /// Sends a multipart form.
    #[must_use]
    pub fn form(mut self, form: Form) -> Self {
        self.form = Some(form);
        self
    }

    /// Sends it and reads the answer to its end.
    ///
    /// # Errors
    /// Everything but a good answer, by its class. What may have been accepted upstream says so.
    pub async fn send(self) -> Result<Answer, ProviderError> {
        let (api, max_bytes) = (self.api, self.max_bytes);
        let is_submission = self.method == Method::POST;
        let (request, said) = self.request().await?;
        let failed = |error: NetError| {
            let may_have_run = is_submission
                && matches!(
                    error,
                    NetError::NoAnswer | NetError::TimedOut | NetError::Cut
                );
            let error = ProviderError::from(error);
            if may_have_run {
                error.that_may_have_run()
            } else {
                error
            }
        };
        let response = request
            .send()
            .await
            .map_err(NetError::from)
            .map_err(failed)?;
        let status = response.status();
        let headers = response.headers().clone();
        let content_type = headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        let bytes = read_limited(response, max_bytes).await.map_err(failed)?;
        let (bytes, json) = parsed(bytes).await?;
        let empty = Value::Null;
        let reply = Reply::new(status.as_u16(), json.as_ref().unwrap_or(&empty), &bytes);
        if let Some(error) = judge::refusal(api.judge(), &reply, is_submission) {
            let detail =
                judge::detail(&reply, api.secrets().chain(said.iter().map(String::as_str)));
            let retry_after = error.retry_after.or_else(|| net::retry_after(&headers));
            return Err(ProviderError { detail, ..error }.after(retry_after));
        }
        Ok(Answer {
            bytes,
            content_type,
            headers,
            json,
            is_submission,
        })
    }
}

impl Call<'_> {
    /// The request, and the texts in it that upstream may repeat.
    async fn request(self) -> Result<(RequestBuilder, Vec<String>), ProviderError> {
        let mut said = self.said;
        let mut request = self.api.request(self.method, self.url?)?;
        if !self.headers.iter().any(|(name, _)| *name == "accept") {
            request = request.header(header::ACCEPT, "application/json");
        }
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        if let Some(form) = self.form {
            let (form, texts) = form.into_parts();
            said.extend(texts);
            request = request.multipart(form?);
        }
        if let Some(body) = self.body {
            let bytes = if said.iter().map(String::len).sum::<usize>() > LARGE_BYTES {
                blocking(move || serde_json::to_vec(&body)).await?
            } else {
                serde_json::to_vec(&body)
            };
            let bytes = bytes
                .map_err(|error| ProviderError::new(FaultClass::BadInput, error.to_string()))?;
            request = request
                .header(header::CONTENT_TYPE, "application/json")
                .body(bytes);
        }
        // Pictures are no sentences; upstream does not repeat them.
        said.retain(|text| text.len() < LARGE_BYTES);
        Ok((request, said))
    }
}

/// Reads a body as JSON when it is; the bytes are kept only when it is not.
async fn parsed(bytes: Bytes) -> Result<(Bytes, Option<Value>), ProviderError> {
    let begins = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    if !matches!(begins, Some(b'{' | b'[')) {
        return Ok((bytes, None));
    }
    let read = move || match serde_json::from_slice(&bytes) {
        Ok(json) => (Bytes::new(), Some(json)),
        Err(_) => (bytes, None),
    };
    blocking(read).await
}

impl Answer {
    /// The JSON of the answer.
    ///
    /// # Errors
    /// When it is none: upstream may have done the work for nothing, or could not say how it stands.
    pub fn json(self) -> Result<Value, ProviderError> {
        let class = if self.is_submission {
            FaultClass::BadUpstream
        } else {
            FaultClass::Transient
        };
        self.json
            .ok_or_else(|| ProviderError::new(class, "the answer is not JSON"))
    }

    /// The JSON of the answer in its expected shape.
    ///
    /// # Errors
    /// As [`Answer::json`].
    pub fn read<T: DeserializeOwned>(self) -> Result<T, ProviderError> {
        let class = if self.is_submission {
            FaultClass::BadUpstream
        } else {
            FaultClass::Transient
        };
        serde_json::from_value(self.json()?)
            .map_err(|error| ProviderError::new(class, format!("an unexpected answer: {error}")))
    }
}
