//! The head of a signed token, read strictly before anything else is done with the token.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
use serde::{Deserialize, de::IgnoredAny};

/// Longest token that is looked at, bytes.
const MAX_TOKEN_BYTES: usize = 16 * 1024;
/// Longest key id, bytes.
const MAX_KEY_ID_BYTES: usize = 256;

/// What a token says about its signature. It is a wish: the key decides.
#[derive(Debug)]
pub struct TokenHead {
    pub algorithm: Algorithm,
    pub key_id: Option<String>,
}

/// Header parameters. Those that bring keys of their own or change what the signature covers
/// (RFC 7515 section 4.1, RFC 7797) have no place in our tokens.
#[derive(Deserialize)]
struct WireHead {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<IgnoredAny>,
    b64: Option<IgnoredAny>,
    zip: Option<IgnoredAny>,
    enc: Option<IgnoredAny>,
    jku: Option<IgnoredAny>,
    jwk: Option<IgnoredAny>,
    x5u: Option<IgnoredAny>,
    x5c: Option<IgnoredAny>,
}

impl TokenHead {
    /// The head of `token`, unless something about it is odd.
    #[must_use]
    pub fn read(token: &str) -> Option<Self> {
        if token.len() > MAX_TOKEN_BYTES || token.split('.').count() != 3 {
            return None;
        }
        let (head, _) = token.split_once('.')?;
        let bytes = URL_SAFE_NO_PAD.decode(head).ok()?;
        let head: WireHead = serde_json::from_slice(&bytes).ok()?;
        let foreign = [
            &head.crit, &head.b64, &head.zip, &head.enc, &head.jku, &head.jwk, &head.x5u, &head.x5c,
        ];
        let is_plain = foreign.iter().all(|parameter| parameter.is_none());
        let is_jwt = head
            .typ
            .is_none_or(|kind| ["jwt", "at+jwt"].contains(&kind.to_lowercase().as_str()));
        let is_short = head
            .kid
            .as_ref()
            .is_none_or(|id| id.len() <= MAX_KEY_ID_BYTES);
        let algorithm = match head.alg.as_str() {
            "HS256" => Algorithm::HS256,
            "RS256" => Algorithm::RS256,
            "ES256" => Algorithm::ES256,
            "EdDSA" => Algorithm::EdDSA,
            _ => return None,
        };
        (is_plain && is_jwt && is_short).then_some(Self {
            algorithm,
            key_id: head.kid.filter(|id| !id.is_empty()),
        })
    }
}
