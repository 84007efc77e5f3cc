//! Secrets that are handed out once and stored hashed, and codes that people type.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use rand::{TryRngCore, rngs::OsRng};
use sha2::{Digest, Sha256};

use super::AuthError;
use crate::settings::Secret;

/// Bytes of randomness in a token.
const TOKEN_BYTES: usize = 32;
/// Codes that can be typed: six digits.
const CODES: u32 = 1_000_000;

/// A new token of 256 random bits, as text for addresses.
///
/// # Errors
/// [`AuthError::Crypto`] when there is no randomness.
pub fn random_token() -> Result<String, AuthError> {
    let mut bytes = [0_u8; TOKEN_BYTES];
    OsRng
        .try_fill_bytes(&mut bytes)
        .map_err(|error| AuthError::Crypto(error.to_string()))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// A new code of six digits, each as likely as any other.
///
/// # Errors
/// [`AuthError::Crypto`] when there is no randomness.
pub fn random_code() -> Result<String, AuthError> {
    let fair = u32::MAX - u32::MAX % CODES;
    loop {
        let number = OsRng
            .try_next_u32()
            .map_err(|error| AuthError::Crypto(error.to_string()))?;
        if number < fair {
            return Ok(format!("{:06}", number % CODES));
        }
    }
}

/// What is stored of a token.
#[must_use]
pub fn digest(token: &str) -> Vec<u8> {
    Sha256::digest(token.as_bytes()).to_vec()
}

/// A text that only the holder of the secret can make from these parts.
///
/// # Errors
/// [`AuthError::Crypto`] when the secret cannot be a key.
pub fn keyed_digest(secret: &Secret, parts: &[&str]) -> Result<Vec<u8>, AuthError> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes())
        .map_err(|error| AuthError::Crypto(error.to_string()))?;
    for part in parts {
        mac.update(part.as_bytes());
        // Keeps "ab" + "c" apart from "a" + "bc".
        mac.update(&[0]);
    }
    Ok(mac.finalize().into_bytes().to_vec())
}
