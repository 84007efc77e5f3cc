//! Pictures as base64, both ways, off the runtime's threads.

use base64::{
    Engine,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};

use super::blocking;
use crate::generation::{
    error::{FaultClass, ProviderError},
    provider::{Output, Reference},
};

/// Takes padding or leaves it, as APIs do.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The given pictures as base64.
///
/// # Errors
/// When the process ends meanwhile.
pub async fn encode(pictures: &[Reference]) -> Result<Vec<String>, ProviderError> {
    if pictures.is_empty() {
        return Ok(Vec::new());
    }
    let pictures = pictures.to_vec();
    blocking(move || {
        pictures
            .iter()
            .map(|picture| STANDARD.encode(&picture.bytes))
            .collect()
    })
    .await
}

/// A picture as a data URL, from its base64.
#[must_use]
pub fn data_url(picture: &Reference, base64: &str) -> String {
    format!("data:{};base64,{base64}", picture.mime_type)
}

/// The results of an answer that has them as base64, with or without the head of a data URL.
///
/// # Errors
/// [`FaultClass::BadUpstream`] for what is no base64.
pub async fn decode(texts: Vec<String>) -> Result<Vec<Output>, ProviderError> {
    blocking(move || {
        texts
            .into_iter()
            .map(|text| {
                let bare = match text.split_once(";base64,") {
                    Some((head, rest)) if head.starts_with("data:") => rest,
                    _ => text.as_str(),
                };
                let bytes = LENIENT.decode(bare.trim()).map_err(|_| {
                    ProviderError::new(FaultClass::BadUpstream, "a result is not base64")
                })?;
                Ok(Output::Bytes(bytes.into()))
            })
            .collect()
    })
    .await?
}
