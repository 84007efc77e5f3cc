//! Pictures that come as base64 or data URLs.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;

use crate::{generation::RequestError, storage::intake::SMALL_BYTES};

const PERMISSIVE: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, PERMISSIVE);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, PERMISSIVE);

/// Decodes large texts beside the event loop.
pub(super) async fn decode_beside(name: &str, text: String) -> Result<Bytes, RequestError> {
    if text.len() <= SMALL_BYTES {
        return decode(name, &text);
    }
    let owned = name.to_owned();
    tokio::task::spawn_blocking(move || decode(&owned, &text))
        .await
        .map_err(|_| RequestError::InvalidReference(format!("{name} could not be decoded.")))?
}

fn decode(name: &str, text: &str) -> Result<Bytes, RequestError> {
    let invalid = || RequestError::InvalidReference(format!("{name} must be valid base64."));
    let encoded = match text.strip_prefix("data:") {
        None => text,
        Some(rest) => {
            let (head, data) = rest.split_once(',').ok_or_else(invalid)?;
            if !head.to_ascii_lowercase().ends_with(";base64") {
                return Err(invalid());
            }
            data
        }
    };
    let encoded = encoded.trim();
    if encoded.is_empty() {
        return Err(invalid());
    }
    let engine = if encoded.contains(['-', '_']) {
        &URL_SAFE
    } else {
        &STANDARD
    };
    engine
        .decode(encoded)
        .map(Bytes::from)
        .map_err(|_| invalid())
}
