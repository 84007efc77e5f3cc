//! Given pictures on their way to Runway: small ones travel in the body as data URLs, larger ones are
//! uploaded first. What is uploaded goes after a day.
//!
//! Source: the provider's SDK (`@runwayml/sdk` 4.20, `uploads`) and its page on inputs.

use std::time::Duration;

use reqwest::multipart;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::sync::OnceCell;

use super::tasks::VERSION;
use crate::{
    generation::{
        error::{FaultClass, ProviderError},
        kit::{Api, data_url, encode},
        provider::Reference,
    },
    net::{GuardedFetcher, Hosts, Policy},
};

/// Longest data URL that it takes, bytes.
const DATA_URL_MAX: usize = 5_000_000;
/// Time an upload may take.
const UPLOAD_LIMIT: Duration = Duration::from_mins(2);
/// Largest answer to an upload, bytes.
const ANSWER_BYTES: u64 = 64 * 1024;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Place {
    runway_uri: String,
    upload_url: String,
    fields: Map<String, Value>,
}

/// Puts given pictures where Runway finds them.
#[derive(Default)]
pub struct Inputs {
    // Made by the first large picture: its address comes from an answer, so it is checked.
    uploader: OnceCell<GuardedFetcher>,
}

impl Inputs {
    /// An address of each picture that the API takes.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub async fn uris(
        &self,
        api: &Api,
        pictures: &[Reference],
    ) -> Result<Vec<String>, ProviderError> {
        let mut uris = Vec::with_capacity(pictures.len());
        for picture in pictures {
            // Four characters of base64 for three bytes, and the head.
            let length = picture
                .bytes
                .len()
                .div_ceil(3)
                .saturating_mul(4)
                .saturating_add(64);
            let uri = if length > DATA_URL_MAX {
                self.upload(api, picture).await?
            } else {
                let encoded = encode(std::slice::from_ref(picture)).await?;
                data_url(picture, encoded.first().map_or("", String::as_str))
            };
            uris.push(uri);
        }
        Ok(uris)
    }

    async fn upload(&self, api: &Api, picture: &Reference) -> Result<String, ProviderError> {
        let name = format!(
            "picture.{}",
            picture.mime_type.rsplit('/').next().unwrap_or("png")
        );
        let body = json!({ "filename": name, "type": "ephemeral" });
        let (header, version) = VERSION;
        let call = api
            .post(&["v1", "uploads"])
            .header(header, version)
            .json(body);
        let place: Place = call.send().await?.read()?;
        let mut form = multipart::Form::new();
        for (field, value) in place.fields {
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), ToOwned::to_owned);
            form = form.text(field, value);
        }
        let part = multipart::Part::stream(picture.bytes.clone())
            .file_name(name)
            .mime_str(&picture.mime_type)
            .map_err(|error| ProviderError::new(FaultClass::BadInput, error.to_string()))?;
        let uploader = self
            .uploader
            .get_or_try_init(|| async {
                GuardedFetcher::new(concat!("daygen/", env!("CARGO_PKG_VERSION")))
            })
            .await?;
        let mut policy = Policy::new(Hosts::AnyPublic, ANSWER_BYTES, UPLOAD_LIMIT);
        policy.allow_loopback = api.is_loopback();
        uploader
            .upload(&place.upload_url, form.part("file", part), &policy)
            .await?;
        Ok(place.runway_uri)
    }
}
