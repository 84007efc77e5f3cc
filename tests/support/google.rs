//! A stand-in of what Google's identity services give: access tokens for a service account's signed
//! request, tokens of the metadata server, and the public keys of OIDC tokens.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, LazyLock, Mutex},
};

use axum::{
    Json, Router,
    extract::{Form, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use rsa::{
    RsaPrivateKey,
    pkcs8::{EncodePrivateKey, EncodePublicKey, LineEnding},
    traits::PublicKeyParts,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub const ACCOUNT: &str = "tasks@test-project.iam.gserviceaccount.com";
const KEY_ID: &str = "test-key-1";

/// Two keys for the whole run: Google's own, and one of somebody else.
pub static KEYS: LazyLock<[RsaPrivateKey; 2]> = LazyLock::new(|| {
    let make = || RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).unwrap();
    [make(), make()]
});

#[derive(Default)]
struct Shared {
    base: String,
    life_s: u64,
    tokens: Vec<String>,
    asked_for_keys: usize,
    /// What a code of a browser sign-in stands for: the request that began it, and the claims.
    consents: BTreeMap<String, (url::Url, Value)>,
}

/// The stand-in.
#[derive(Clone)]
pub struct Google {
    pub base: String,
    shared: Arc<Mutex<Shared>>,
}

pub fn pem(key: &RsaPrivateKey) -> String {
    key.to_pkcs8_pem(LineEnding::LF).unwrap().to_string()
}

impl Google {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Mutex::new(Shared {
            base: base.clone(),
            life_s: 3_600,
            ..Shared::default()
        }));
        let app = Router::new()
            .route("/token", post(by_assertion))
            .route(
                "/computeMetadata/v1/instance/service-accounts/default/token",
                get(by_metadata),
            )
            .route("/oauth2/v3/certs", get(certs))
            .with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        // Made before anything waits for it with a time limit.
        tokio::task::spawn_blocking(|| LazyLock::force(&KEYS))
            .await
            .unwrap();
        Self { base, shared }
    }

    /// A service account's file for this stand-in, deleted with the returned value.
    pub fn account_file(&self) -> AccountFile {
        let path = std::env::temp_dir().join(format!("account-{}.json", uuid::Uuid::new_v4()));
        let file = json!({
            "type": "service_account",
            "project_id": "test-project",
            "private_key_id": KEY_ID,
            "private_key": pem(&KEYS[0]),
            "client_email": ACCOUNT,
            "token_uri": format!("{}/token", self.base),
        });
        std::fs::write(&path, file.to_string()).unwrap();
        AccountFile(path)
    }

    /// How long the next tokens live, seconds.
    pub fn set_life(&self, seconds: u64) {
        self.shared.lock().unwrap().life_s = seconds;
    }

    /// A person agrees to what `asked` (an address of ours) says; gives the address that the browser is
    /// sent back to. The claims get the nonce that was asked for, unless they have one.
    pub fn consent(&self, asked: &url::Url, mut claims: Value) -> String {
        let get = |key: &str| super::inbox::query(asked, key).unwrap();
        if claims.get("nonce").is_none() {
            claims["nonce"] = json!(get("nonce"));
        }
        assert_eq!(get("response_type"), "code");
        let code = uuid::Uuid::new_v4().to_string();
        let consent = (asked.clone(), claims);
        self.shared
            .lock()
            .unwrap()
            .consents
            .insert(code.clone(), consent);
        let mut back = url::Url::parse(&get("redirect_uri")).unwrap();
        back.query_pairs_mut()
            .append_pair("state", &get("state"))
            .append_pair("code", &code);
        back.into()
    }

    /// Access tokens given so far.
    pub fn tokens(&self) -> Vec<String> {
        self.shared.lock().unwrap().tokens.clone()
    }

    pub fn asked_for_keys(&self) -> usize {
        self.shared.lock().unwrap().asked_for_keys
    }

    /// An OIDC token as Cloud Tasks attaches it.
    pub fn oidc_token(&self, email: &str, audience: &str) -> String {
        self.sign(&oidc_claims(email, audience))
    }

    /// Signs claims with the published key.
    pub fn sign(&self, claims: &Value) -> String {
        sign_with(&KEYS[0], claims)
    }

    /// Signs claims with a key that is not published, under the published key's id.
    pub fn forge(&self, claims: &Value) -> String {
        sign_with(&KEYS[1], claims)
    }
}

/// The public half of a key of the run, as a file.
pub fn public_pem(which: usize) -> String {
    let key = KEYS[which].to_public_key();
    key.to_public_key_pem(LineEnding::LF).unwrap()
}

/// The claims of a good OIDC token.
pub fn oidc_claims(email: &str, audience: &str) -> Value {
    let now = chrono::Utc::now().timestamp();
    json!({
        "iss": "https://accounts.google.com",
        "aud": audience,
        "azp": "1234567890",
        "sub": "1234567890",
        "email": email,
        "email_verified": true,
        "iat": now,
        "exp": now + 3_600,
    })
}

/// The claims of an ID token of a person, as Google makes it for a client.
pub fn id_claims(client_id: &str, subject: &str, email: &str) -> Value {
    let now = chrono::Utc::now().timestamp();
    json!({
        "iss": "https://accounts.google.com",
        "azp": client_id,
        "aud": client_id,
        "sub": subject,
        "email": email,
        "email_verified": true,
        "name": "Grace Hopper",
        "picture": "https://lh3.googleusercontent.com/a/grace=s96-c",
        "given_name": "Grace",
        "family_name": "Hopper",
        "iat": now,
        "exp": now + 3_600,
    })
}

fn sign_with(key: &RsaPrivateKey, claims: &Value) -> String {
    let mut header = Header::new(Algorithm::RS256);
    header.kid = Some(KEY_ID.to_owned());
    let key = EncodingKey::from_rsa_pem(pem(key).as_bytes()).unwrap();
    encode(&header, claims, &key).unwrap()
}

/// A file that goes with this value.
pub struct AccountFile(pub PathBuf);

impl Drop for AccountFile {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}

fn numbers() -> (String, String) {
    let encode = |bytes: Vec<u8>| URL_SAFE_NO_PAD.encode(bytes);
    (
        encode(KEYS[0].n().to_bytes_be()),
        encode(KEYS[0].e().to_bytes_be()),
    )
}

fn give(shared: &Mutex<Shared>) -> Response {
    let mut shared = shared.lock().unwrap();
    let token = format!("ya29.test-{}", shared.tokens.len() + 1);
    shared.tokens.push(token.clone());
    let life = shared.life_s;
    Json(json!({"access_token": token, "expires_in": life, "token_type": "Bearer"})).into_response()
}

/// Exchanges the code of a browser sign-in, once and only for whoever began it.
fn by_code(shared: &Mutex<Shared>, form: &BTreeMap<String, String>) -> Option<Response> {
    let (asked, claims) = shared.lock().unwrap().consents.remove(form.get("code")?)?;
    let get = |key: &str| super::inbox::query(&asked, key);
    let verifier = form.get("code_verifier")?;
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
    let is_same = form.get("client_id") == get("client_id").as_ref()
        && form.get("redirect_uri") == get("redirect_uri").as_ref()
        && Some(challenge) == get("code_challenge")
        && form
            .get("client_secret")
            .is_some_and(|secret| secret == "the-client-secret");
    let body = json!({
        "access_token": "ya29.person", "expires_in": 3_599, "token_type": "Bearer",
        "scope": "openid", "id_token": sign_with(&KEYS[0], &claims),
    });
    is_same.then(|| Json(body).into_response())
}

async fn by_assertion(
    State(shared): State<Arc<Mutex<Shared>>>,
    Form(form): Form<BTreeMap<String, String>>,
) -> Response {
    let refuse = |text: &str| {
        let body = json!({"error": "invalid_grant", "error_description": text});
        (StatusCode::BAD_REQUEST, Json(body)).into_response()
    };
    if form.get("grant_type").map(String::as_str) == Some("authorization_code") {
        return by_code(&shared, &form).unwrap_or_else(|| refuse("Bad Request"));
    }
    if form.get("grant_type").map(String::as_str)
        != Some("urn:ietf:params:oauth:grant-type:jwt-bearer")
    {
        return refuse("Invalid grant type.");
    }
    let (n, e) = numbers();
    let key = DecodingKey::from_rsa_components(&n, &e).unwrap();
    let mut validation = Validation::new(Algorithm::RS256);
    validation.set_issuer(&[ACCOUNT]);
    validation.set_audience(&[format!("{}/token", shared.lock().unwrap().base)]);
    let assertion = form.get("assertion").cloned().unwrap_or_default();
    let Ok(data) = decode::<Value>(&assertion, &key, &validation) else {
        return refuse("Invalid JWT Signature.");
    };
    let claims = data.claims;
    let life = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    if !(1..=3_600).contains(&life) || data.header.kid.as_deref() != Some(KEY_ID) {
        return refuse("Invalid JWT: Token must be a short-lived token (60 minutes).");
    }
    if claims["scope"] != "https://www.googleapis.com/auth/cloud-tasks" {
        return refuse("Invalid scope.");
    }
    give(&shared)
}

async fn by_metadata(State(shared): State<Arc<Mutex<Shared>>>, headers: HeaderMap) -> Response {
    if headers
        .get("metadata-flavor")
        .is_none_or(|value| value != "Google")
    {
        return StatusCode::FORBIDDEN.into_response();
    }
    give(&shared)
}

async fn certs(State(shared): State<Arc<Mutex<Shared>>>) -> Response {
    shared.lock().unwrap().asked_for_keys += 1;
    let (n, e) = numbers();
    let key = json!({"kty": "RSA", "use": "sig", "alg": "RS256", "kid": KEY_ID, "n": n, "e": e});
    let headers = [("cache-control", "public, max-age=20000, must-revalidate")];
    (headers, Json(json!({ "keys": [key] }))).into_response()
}
