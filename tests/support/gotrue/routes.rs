//! The calls of the stand-in, checked and answered as the real project does.

use std::collections::BTreeMap;

use axum::{
    Json,
    body::Bytes,
    extract::{Path, Query, Request, State},
    http::{HeaderMap, StatusCode},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{ANON_KEY, Held, Mood, SERVICE_KEY, Seen, Signer, User};

pub(super) fn user_json(user: &User) -> Value {
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

pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let header = headers.get("authorization")?.to_str().ok()?;
    header.strip_prefix("Bearer ")
}

fn refuse(status: u16, code: &str, text: &str) -> Response {
    let body = json!({"code": code, "message": text});
    (StatusCode::from_u16(status).unwrap(), Json(body)).into_response()
}

/// What stands in front of every call: the key, the version, the mood, the record.
pub(super) async fn gateway(State(shared): State<Held>, request: Request, next: Next) -> Response {
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

pub(super) async fn jwks(State(shared): State<Held>) -> Json<Value> {
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

pub(super) async fn sign_up(State(shared): State<Held>, bytes: Bytes) -> Response {
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

pub(super) async fn otp(State(shared): State<Held>, bytes: Bytes) -> Response {
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

pub(super) async fn recover(State(shared): State<Held>, bytes: Bytes) -> Response {
    let body = read(&bytes);
    let email = body["email"].as_str().unwrap();
    let mut held = shared.lock().unwrap();
    if held.of_email(email).is_some() {
        held.mail("recovery", email);
    }
    Json(json!({})).into_response()
}

pub(super) async fn token(
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

pub(super) async fn verify(State(shared): State<Held>, bytes: Bytes) -> Response {
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

pub(super) async fn log_out(
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

pub(super) async fn own_user(State(shared): State<Held>, headers: HeaderMap) -> Response {
    let held = shared.lock().unwrap();
    match held.bearer(&headers) {
        Some(user) => Json(user_json(&user)).into_response(),
        None => refuse(403, "bad_jwt", "invalid JWT"),
    }
}

pub(super) async fn change_user(
    State(shared): State<Held>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Response {
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

pub(super) async fn make_user(State(shared): State<Held>, bytes: Bytes) -> Response {
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

pub(super) async fn any_user(State(shared): State<Held>, Path(id): Path<String>) -> Response {
    let held = shared.lock().unwrap();
    match held.users.iter().find(|user| user.id == id) {
        Some(user) => Json(user_json(user)).into_response(),
        None => refuse(404, "user_not_found", "User not found"),
    }
}

pub(super) async fn generate_link(State(shared): State<Held>, bytes: Bytes) -> Response {
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
