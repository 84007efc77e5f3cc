//! Keys of a foreign identity provider, and tokens signed with them, well and badly.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, jwk::Jwk};
use serde_json::{Value, json};

use super::google;

/// PKCS#8 in front of a P-256 scalar and of an Ed25519 seed (RFC 5958, 5915, 8410).
const P256_HEAD: &str = "3041020100301306072a8648ce3d020106082a8648ce3d030107042730250201010420";
const ED25519_HEAD: &str = "302e020100300506032b657004220420";

/// A private key with its id.
#[derive(Clone)]
pub struct SigningKey {
    pub id: String,
    pub algorithm: Algorithm,
    key: EncodingKey,
}

impl SigningKey {
    /// One of the two RSA keys of the run; they take a while to make.
    pub fn rsa(id: &str, which: usize) -> Self {
        let pem = google::pem(&google::KEYS[which]);
        Self {
            id: id.to_owned(),
            algorithm: Algorithm::RS256,
            key: EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap(),
        }
    }

    pub fn p256(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            algorithm: Algorithm::ES256,
            key: EncodingKey::from_ec_der(&random_key(P256_HEAD)),
        }
    }

    pub fn ed25519(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            algorithm: Algorithm::EdDSA,
            key: EncodingKey::from_ed_der(&random_key(ED25519_HEAD)),
        }
    }

    /// The public half as a key set shows it.
    pub fn jwk(&self) -> Value {
        let mut jwk =
            serde_json::to_value(Jwk::from_encoding_key(&self.key, self.algorithm).unwrap())
                .unwrap();
        jwk["kid"] = json!(self.id);
        jwk["use"] = json!("sig");
        jwk["key_ops"] = json!(["verify"]);
        jwk
    }

    /// A good token.
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_under(&self.head(), &claims.to_string())
    }

    /// The header of a good token.
    pub fn head(&self) -> Value {
        json!({"alg": self.algorithm, "typ": "JWT", "kid": self.id})
    }

    /// Signs any header and any text as payload.
    pub fn sign_under(&self, head: &Value, payload: &str) -> String {
        sign_text(&head.to_string(), payload, &self.key, self.algorithm)
    }
}

/// Signs any two texts with any key by any algorithm.
pub fn sign_text(head: &str, payload: &str, key: &EncodingKey, algorithm: Algorithm) -> String {
    let message = format!("{}.{}", part(head), part(payload));
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), key, algorithm).unwrap();
    format!("{message}.{signature}")
}

/// A part of a token.
pub fn part(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

fn random_key(head: &str) -> Vec<u8> {
    let mut der: Vec<u8> = (0..head.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&head[at..at + 2], 16).unwrap())
        .collect();
    // Two random ids are 32 bytes; as a number they are below the order of the curve.
    let halves = [uuid::Uuid::new_v4(), uuid::Uuid::new_v4()];
    let mut secret: Vec<u8> = halves.iter().flat_map(|id| *id.as_bytes()).collect();
    secret[0] &= 0x7f;
    der.extend(secret);
    der
}
