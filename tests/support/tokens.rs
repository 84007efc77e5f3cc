//! Access tokens as a foreign identity provider, or a forger, would make them.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

/// The HS256 secret of every test app.
pub const SECRET: &str = "a-secret-of-the-tests-that-is-long-enough-0123456789";

/// Claims of a good token for this subject.
pub fn claims(subject: &str, email: &str) -> Value {
    json!({
        "sub": subject,
        "role": "authenticated",
        "aud": "authenticated",
        "email": email,
        "exp": chrono::Utc::now().timestamp() + 600,
        "user_metadata": {"full_name": "Grace Hopper"},
    })
}

/// Signs claims with a secret.
pub fn sign(claims: &Value, algorithm: Algorithm, secret: &str) -> String {
    encode(
        &Header::new(algorithm),
        claims,
        &EncodingKey::from_secret(secret.as_bytes()),
    )
    .unwrap()
}

/// Signs claims as the tests' identity provider.
pub fn good(claims: &Value) -> String {
    sign(claims, Algorithm::HS256, SECRET)
}

/// A token that says it needs no signature.
pub fn unsigned(claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!(
        "{}.{}.",
        part(&json!({"alg": "none", "typ": "JWT"})),
        part(claims)
    )
}
