//! Proof Key for Code Exchange (RFC 7636), as supabase-js sends it.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Bounds of challenge and verifier, characters (RFC 7636 section 4.1).
const MIN_CHARS: usize = 43;
const MAX_CHARS: usize = 128;

/// How a challenge is made from its verifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    S256,
    /// The verifier itself. Pages on plain http have no hash function (client contract 6).
    Plain,
}

impl Method {
    /// The text in columns.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::S256 => "s256",
            Self::Plain => "plain",
        }
    }

    /// The method that a client or a column names.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        [Self::S256, Self::Plain]
            .into_iter()
            .find(|method| text.eq_ignore_ascii_case(method.as_str()))
    }
}

/// What a client shows before a code is made; only who knows its verifier can use the code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    pub value: String,
    pub method: Method,
}

impl Challenge {
    /// Reads a challenge; `None` when the client sent none.
    ///
    /// # Errors
    /// The sentence that says what is wrong.
    pub fn read(value: Option<&str>, method: Option<&str>) -> Result<Option<Self>, &'static str> {
        let Some(value) = value.filter(|value| !value.is_empty()) else {
            return Ok(None);
        };
        let method = method
            .and_then(Method::of)
            .ok_or("PKCE flow requires code_challenge_method to be s256 or plain")?;
        if is_well_formed(value) {
            Ok(Some(Self {
                value: value.to_owned(),
                method,
            }))
        } else {
            Err("code_challenge has to be between 43 and 128 characters of A-Z, a-z, 0-9, - . _ ~")
        }
    }

    /// Whether `verifier` is what the challenge was made from.
    #[must_use]
    pub fn is_met_by(&self, verifier: &str) -> bool {
        if !is_well_formed(verifier) {
            return false;
        }
        let made = match self.method {
            Method::S256 => URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes())),
            Method::Plain => verifier.to_owned(),
        };
        bool::from(made.as_bytes().ct_eq(self.value.as_bytes()))
    }
}

fn is_well_formed(text: &str) -> bool {
    (MIN_CHARS..=MAX_CHARS).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example of RFC 7636 appendix B.
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    #[test]
    fn the_example_of_the_rfc_is_met_by_its_verifier_only() {
        for method in ["S256", "s256"] {
            let challenge = Challenge::read(Some(CHALLENGE), Some(method))
                .unwrap()
                .unwrap();
            assert!(challenge.is_met_by(VERIFIER));
            assert!(!challenge.is_met_by(CHALLENGE));
            assert!(!challenge.is_met_by(""));
        }
        let plain = Challenge::read(Some(VERIFIER), Some("plain"))
            .unwrap()
            .unwrap();
        assert!(plain.is_met_by(VERIFIER));
    }

    #[test]
    fn what_is_no_challenge_is_told() {
        assert_eq!(Challenge::read(None, Some("s256")), Ok(None));
        assert_eq!(Challenge::read(Some(""), None), Ok(None));
        for (value, method) in [
            (CHALLENGE, None),
            (CHALLENGE, Some("s512")),
            ("short", Some("s256")),
            (
                "with spaces in it, and long enough otherwise ok",
                Some("s256"),
            ),
        ] {
            assert!(Challenge::read(Some(value), method).is_err(), "{value}");
        }
    }
}
