//! Pictures as base64, both ways, off the runtime's threads.

use base64::{
    Engine,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};

use super::blocking;
use crate::{
    generation::{
        RequestError,
        error::{FaultClass, ProviderError},
        provider::{GivenPicture, Output, Reference},
    },
    storage::ImageKind,
};

/// Takes padding or leaves it, as APIs do.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Checks a given picture by its size and type.
///
/// # Errors
/// [`RequestError::InvalidReference`] for one that is too large, or a GIF where those are not taken.
pub fn check_picture(
    given: &GivenPicture,
    max_megabytes: u64,
    takes_gifs: bool,
) -> Result<(), RequestError> {
    if given.kind == ImageKind::Gif && !takes_gifs {
        return Err(RequestError::InvalidReference(
            "This model takes PNG, JPEG and WebP pictures, no GIF.".to_owned(),
        ));
    }
    if given.size_bytes > max_megabytes.saturating_mul(1024 * 1024) {
        return Err(RequestError::InvalidReference(format!(
            "This model takes pictures of at most {max_megabytes} MB."
        )));
    }
    Ok(())
}

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
