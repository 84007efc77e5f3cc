//! A stand-in of a Supabase project's identity API: accounts, sessions, mailed tokens, the admin calls
//! that we make, and published keys. It checks keys and forms as the real one does.

mod routes;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use axum::{
    Router,
    http::HeaderMap,
    middleware::from_fn_with_state,
    routing::{get, post},
};
use serde_json::{Value, json};

use self::routes::{
    any_user, bearer, change_user, gateway, generate_link, jwks, log_out, make_user, otp, own_user,
    recover, sign_up, token, user_json, verify,
};
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
        let mut found = held.hashes.iter().filter(|(_, about)| **about == wanted);
        found.next_back().unwrap().0.clone()
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
