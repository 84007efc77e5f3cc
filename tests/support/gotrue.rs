//! A stand-in of a Supabase project's identity API: accounts, sessions, mailed tokens, the admin calls
//! that we make, and published keys. It checks keys and forms as the real one does.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, Query, Request, State},
    http::{HeaderMap, StatusCode},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};

use super::{signing::SigningKey, tokens};

pub const ANON_KEY: &str = "anon-key-of-the-stand-in";
pub const SERVICE_KEY: &str = "service-key-of-the-stand-in";

/// What the stand-in does instead of its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Well,
    /// A gateway's page.
    Down,
    /// 429 with `Retry-After: 7`.
    Busy,
    /// The look-up of users fails as it does for rows made by hand.
    NullDefect,
}

/// How access tokens are signed.
#[derive(Clone)]
pub enum Signer {
    Secret,
    Key(SigningKey),
}

#[derive(Clone)]
struct User {
    id: String,
    email: String,
    password: Option<String>,
    is_confirmed: bool,
    metadata: Value,
}

/// A call that came in: method, path with query, body.
#[derive(Debug, Clone)]
pub struct Seen {
    pub line: String,
    pub body: Value,
}

struct Shared {
    base: String,
    signer: Signer,
    mood: Mood,
    confirms_at_once: bool,
    users: Vec<User>,
    /// Token hashes that were mailed or made, with what they are for.
    hashes: BTreeMap<String, (String, String)>,
    live_tokens: Vec<String>,
    google_tokens: BTreeMap<String, String>,
    seen: Vec<Seen>,
}

type Held = Arc<Mutex<Shared>>;

/// The stand-in.
#[derive(Clone)]
pub struct GoTrue {
    pub base: String,
    shared: Held,
}

impl GoTrue {
    pub async fn start() -> Self {
        Self::signing_with(Signer::Secret).await
    }

    pub async fn signing_with(signer: Signer) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Mutex::new(Shared {
            base: base.clone(),
            signer,
            mood: Mood::Well,
            confirms_at_once: true,
            users: Vec::new(),
            hashes: BTreeMap::new(),
            live_tokens: Vec::new(),
            google_tokens: BTreeMap::new(),
            seen: Vec::new(),
        }));
        let routes = Router::new()
            .route("/signup", post(sign_up))
            .route("/otp", post(otp))
            .route("/recover", post(recover))
            .route("/token", post(token))
            .route("/verify", post(verify))
            .route("/logout", post(log_out))
            .route("/user", get(own_user).put(change_user))
            .route("/admin/users", post(make_user))
            .route("/admin/users/{id}", get(any_user))
            .route("/admin/generate_link", post(generate_link))
            .layer(from_fn_with_state(Arc::clone(&shared), gateway))
            .route("/.well-known/jwks.json", get(jwks))
            .with_state(Arc::clone(&shared));
        let app = Router::new().nest("/auth/v1", routes);
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { base, shared }
    }

    fn held(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap()
    }

    pub fn set_mood(&self, mood: Mood) {
        self.held().mood = mood;
    }

    /// Whether new accounts can be used without a mailed link.
    pub fn set_confirms_at_once(&self, confirms_at_once: bool) {
        self.held().confirms_at_once = confirms_at_once;
    }

    /// Lets a Google ID token sign this address in.
    pub fn know_google_token(&self, id_token: &str, email: &str) {
        let mut held = self.held();
        held.google_tokens
            .insert(id_token.to_owned(), email.to_owned());
    }

    /// An account made elsewhere; gives its id.
    pub fn add_user(&self, email: &str, password: &str, is_confirmed: bool) -> String {
        let mut held = self.held();
        let user = held.make(email, Some(password), is_confirmed, json!({}));
        user.id
    }

    /// Changes the address of an account.
    pub fn move_user(&self, id: &str, email: &str) {
        let mut held = self.held();
        let user = held.users.iter_mut().find(|user| user.id == id).unwrap();
        email.clone_into(&mut user.email);
    }

    pub fn remove_user(&self, id: &str) {
        self.held().users.retain(|user| user.id != id);
    }

    /// An access token for an account, as a browser gets it.
    pub fn token_of(&self, id: &str) -> String {
        let mut held = self.held();
        let user = held
            .users
            .iter()
            .find(|user| user.id == id)
            .unwrap()
            .clone();
        let session = held.session(&user);
        session["access_token"].as_str().unwrap().to_owned()
    }

    /// The newest token hash of this kind for an address.
    pub fn mailed_hash(&self, kind: &str, email: &str) -> String {
        let held = self.held();
        let wanted = (kind.to_owned(), email.to_owned());
        let found = held.hashes.iter().filter(|(_, about)| **about == wanted);
        found.last().unwrap().0.clone()
    }

    /// Calls since the last time, as `METHOD /path?query` with their bodies.
    pub fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.held().seen)
    }

    pub fn is_live(&self, token: &str) -> bool {
        self.held().live_tokens.iter().any(|live| live == token)
    }
}

impl Shared {
    fn make(
        &mut self,
        email: &str,
        password: Option<&str>,
        is_confirmed: bool,
        metadata: Value,
    ) -> User {
        let user = User {
            id: uuid::Uuid::new_v4().to_string(),
            email: email.to_owned(),
            password: password.map(ToOwned::to_owned),
            is_confirmed,
            metadata,
        };
        self.users.push(user.clone());
        user
    }

    fn of_email(&mut self, email: &str) -> Option<&mut User> {
        self.users.iter_mut().find(|user| user.email == email)
    }

    fn session(&mut self, user: &User) -> Value {
        let now = chrono::Utc::now().timestamp();
        let claims = json!({
            "iss": format!("{}/auth/v1", self.base), "sub": user.id, "aud": "authenticated",
            "exp": now + 3_600, "iat": now, "email": user.email, "phone": "",
            "app_metadata": {"provider": "email", "providers": ["email"]},
            "user_metadata": user.metadata, "role": "authenticated", "aal": "aal1",
            "amr": [{"method": "password", "timestamp": now}],
            "session_id": uuid::Uuid::new_v4(), "is_anonymous": false,
        });
        let access_token = match &self.signer {
            Signer::Secret => tokens::good(&claims),
            Signer::Key(key) => key.sign(&claims),
        };
        self.live_tokens.push(access_token.clone());
        json!({
            "access_token": access_token, "token_type": "bearer", "expires_in": 3_600,
            "expires_at": now + 3_600, "refresh_token": uuid::Uuid::new_v4().to_string(),
            "user": user_json(user),
        })
    }

    fn mail(&mut self, kind: &str, email: &str) -> String {
        let hash = format!(
            "pkce-{:04}-{}",
            self.hashes.len(),
            uuid::Uuid::new_v4().simple()
        );
        let about = (kind.to_owned(), email.to_owned());
        self.hashes.insert(hash.clone(), about);
        hash
    }

    /// The account of a bearer whose session has not ended.
    fn bearer(&self, headers: &HeaderMap) -> Option<User> {
        let token = bearer(headers)?;
        self.live_tokens.iter().find(|live| *live == token)?;
        let claims = token.split('.').nth(1)?;
        let claims =
            base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, claims)
                .ok()?;
        let claims: Value = serde_json::from_slice(&claims).ok()?;
        let id = claims["sub"].as_str()?;
        self.users.iter().find(|user| user.id == id).cloned()
    }
}

fn user_json(user: &User) -> Value {
    let time = "2026-01-02T03:04:05.678901Z";
    json!({
        "id": user.id, "aud": "authenticated", "role": "authenticated", "email": user.email,
        "email_confirmed_at": user.is_confirmed.then_some(time), "phone": "",
        "app_metadata": {"provider": "email", "providers": ["email"]},
        "user_metadata": user.metadata,
        "identities": [{"provider": "email", "user_id": user.id}],
        "created_at": time, "updated_at": time, "is_anonymous": false,
    })
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let header = headers.get("authorization")?.to_str().ok()?;
    header.strip_prefix("Bearer ")
}

fn refuse(status: u16, code: &str, text: &str) -> Response {
    let body = json!({"code": code, "message": text});
    (StatusCode::from_u16(status).unwrap(), Json(body)).into_response()
}

/// What stands in front of every call: the key, the version, the mood, the record.
async fn gateway(State(shared): State<Held>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let bytes = axum::body::to_bytes(body, 1024 * 1024).await.unwrap();
    let key = parts
        .headers
        .get("apikey")
        .map(|value| value.to_str().unwrap().to_owned());
    let is_admin = parts.uri.path().starts_with("/admin");
    let mood = {
        let mut held = shared.lock().unwrap();
        held.seen.push(Seen {
            line: format!("{} {}", parts.method, parts.uri),
            body: serde_json::from_slice(&bytes).unwrap_or_default(),
        });
        held.mood
    };
    assert_eq!(
        parts.headers.get("x-supabase-api-version").unwrap(),
        "2024-01-01"
    );
    let wanted = if is_admin { SERVICE_KEY } else { ANON_KEY };
    if key.as_deref() != Some(wanted) || (is_admin && bearer(&parts.headers) != Some(wanted)) {
        let body = json!({"message": "Invalid API key"});
        return (StatusCode::UNAUTHORIZED, Json(body)).into_response();
    }
    match mood {
        Mood::Down => {
            let page = "<html>503 Service Temporarily Unavailable</html>";
            return (StatusCode::SERVICE_UNAVAILABLE, page).into_response();
        }
        Mood::Busy => {
            let text = "For security purposes, you can only request this after 7 seconds.";
            let mut answer = refuse(429, "over_email_send_rate_limit", text);
            answer.headers_mut().insert("retry-after", 7.into());
            return answer;
        }
        Mood::NullDefect if is_admin => {
            let text = "Database error querying schema: error finding user: sql: Scan error on column \
                        index 8, name \"email_change\": converting NULL to string is unsupported";
            return refuse(500, "unexpected_failure", text);
        }
        Mood::Well | Mood::NullDefect => {}
    }
    next.run(Request::from_parts(parts, bytes.into())).await
}

async fn jwks(State(shared): State<Held>) -> Json<Value> {
    let held = shared.lock().unwrap();
    let keys = match &held.signer {
        Signer::Secret => vec![],
        Signer::Key(key) => vec![key.jwk()],
    };
    Json(json!({ "keys": keys }))
}

fn read(bytes: &Bytes) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

async fn sign_up(State(shared): State<Held>, bytes: Bytes) -> Response {
    let body = read(&bytes);
    let (email, password) = (
        body["email"].as_str().unwrap(),
        body["password"].as_str().unwrap(),
    );
    let mut held = shared.lock().unwrap();
    if password == "letmein-letmein" {
        let text = "Password is known to be weak and easy to guess, please choose a different one.";
        return refuse(422, "weak_password", text);
    }
    let at_once = held.confirms_at_once;
    if let Some(user) = held.of_email(email) {
        if at_once {
            return refuse(422, "user_already_exists", "User already registered");
        }
        // What the real one invents so that nobody learns of the account.
        let mut invented = user_json(user);
        invented["id"] = json!(uuid::Uuid::new_v4());
        invented["identities"] = json!([]);
        return Json(invented).into_response();
    }
    let user = held.make(email, Some(password), at_once, body["data"].clone());
    if at_once {
        Json(held.session(&user)).into_response()
    } else {
        held.mail("signup", email);
        Json(user_json(&user)).into_response()
    }
}

async fn otp(State(shared): State<Held>, bytes: Bytes) -> Response {
    let body = read(&bytes);
    let email = body["email"].as_str().unwrap();
    let mut held = shared.lock().unwrap();
    if held.of_email(email).is_none() {
        assert_eq!(body["create_user"], true);
        held.make(email, None, false, body["data"].clone());
    }
    held.mail("magiclink", email);
    Json(json!({})).into_response()
}

async fn recover(State(shared): State<Held>, bytes: Bytes) -> Response {
    let body = read(&bytes);
    let email = body["email"].as_str().unwrap();
    let mut held = shared.lock().unwrap();
    if held.of_email(email).is_some() {
        held.mail("recovery", email);
    }
    Json(json!({})).into_response()
}

async fn token(
    State(shared): State<Held>,
    Query(query): Query<BTreeMap<String, String>>,
    bytes: Bytes,
) -> Response {
    let body = read(&bytes);
    let mut held = shared.lock().unwrap();
    if query["grant_type"] == "id_token" {
        assert_eq!(body["provider"], "google");
        let email = held.google_tokens.get(body["id_token"].as_str().unwrap());
        let Some(email) = email.cloned() else {
            return refuse(400, "bad_jwt", "Bad ID token");
        };
        let metadata = json!({
            "full_name": "Grace Hopper",
            "avatar_url": "https://lh3.googleusercontent.com/a/grace=s96-c",
        });
        let known = held.of_email(&email).cloned();
        let user = known.unwrap_or_else(|| held.make(&email, None, true, metadata));
        return Json(held.session(&user)).into_response();
    }
    let email = body["email"].as_str().unwrap();
    let user = held.of_email(email).cloned();
    match user.filter(|user| user.password.as_deref() == body["password"].as_str()) {
        None => refuse(400, "invalid_credentials", "Invalid login credentials"),
        Some(user) if !user.is_confirmed => {
            refuse(400, "email_not_confirmed", "Email not confirmed")
        }
        Some(user) => Json(held.session(&user)).into_response(),
    }
}

async fn verify(State(shared): State<Held>, bytes: Bytes) -> Response {
    let body = read(&bytes);
    let mut held = shared.lock().unwrap();
    let hash = body["token_hash"].as_str().unwrap();
    let about = held.hashes.get(hash).cloned();
    let Some((_, email)) = about.filter(|(kind, _)| *kind == body["type"]) else {
        return refuse(403, "otp_expired", "Email link is invalid or has expired");
    };
    held.hashes.remove(hash);
    let user = held.of_email(&email).unwrap();
    user.is_confirmed = true;
    let user = user.clone();
    Json(held.session(&user)).into_response()
}

async fn log_out(
    State(shared): State<Held>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let mut held = shared.lock().unwrap();
    if held.bearer(&headers).is_none() {
        return refuse(
            403,
            "session_not_found",
            "Session from session_id claim in JWT does not exist",
        );
    }
    assert_eq!(query["scope"], "local");
    let token = bearer(&headers).unwrap().to_owned();
    held.live_tokens.retain(|live| *live != token);
    StatusCode::NO_CONTENT.into_response()
}

async fn own_user(State(shared): State<Held>, headers: HeaderMap) -> Response {
    let held = shared.lock().unwrap();
    match held.bearer(&headers) {
        Some(user) => Json(user_json(&user)).into_response(),
        None => refuse(403, "bad_jwt", "invalid JWT"),
    }
}

async fn change_user(State(shared): State<Held>, headers: HeaderMap, bytes: Bytes) -> Response {
    let body = read(&bytes);
    let password = body["password"].as_str().unwrap();
    let mut held = shared.lock().unwrap();
    let Some(user) = held.bearer(&headers) else {
        return refuse(
            403,
            "bad_jwt",
            "invalid JWT: unable to parse or verify signature",
        );
    };
    if user.password.as_deref() == Some(password) {
        let text = "New password should be different from the old password.";
        return refuse(422, "same_password", text);
    }
    let user = held.of_email(&user.email).unwrap();
    user.password = Some(password.to_owned());
    Json(user_json(user)).into_response()
}

async fn make_user(State(shared): State<Held>, bytes: Bytes) -> Response {
    let body = read(&bytes);
    let email = body["email"].as_str().unwrap();
    let mut held = shared.lock().unwrap();
    if held.of_email(email).is_some() {
        let text = "A user with this email address has already been registered";
        return refuse(422, "email_exists", text);
    }
    let user = held.make(
        email,
        None,
        body["email_confirm"] == true,
        body["user_metadata"].clone(),
    );
    Json(user_json(&user)).into_response()
}

async fn any_user(State(shared): State<Held>, Path(id): Path<String>) -> Response {
    let held = shared.lock().unwrap();
    match held.users.iter().find(|user| user.id == id) {
        Some(user) => Json(user_json(user)).into_response(),
        None => refuse(404, "user_not_found", "User not found"),
    }
}

async fn generate_link(State(shared): State<Held>, bytes: Bytes) -> Response {
    let body = read(&bytes);
    let email = body["email"].as_str().unwrap();
    let mut held = shared.lock().unwrap();
    let hash = held.mail(body["type"].as_str().unwrap(), email);
    let user = held.of_email(email).unwrap();
    let mut answer = user_json(user);
    answer["hashed_token"] = json!(hash);
    answer["verification_type"] = body["type"].clone();
    Json(answer).into_response()
}
