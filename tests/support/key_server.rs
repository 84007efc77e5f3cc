//! A server of public keys that can change them, break, and count who asks.

use std::sync::{Arc, Mutex};

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};

use super::signing::SigningKey;

#[derive(Default)]
struct Shared {
    keys: Vec<Value>,
    is_down: bool,
    max_age_s: Option<u64>,
    asked: usize,
}

/// The server.
#[derive(Clone)]
pub struct KeyServer {
    pub url: String,
    shared: Arc<Mutex<Shared>>,
}

impl KeyServer {
    pub async fn start(keys: &[&SigningKey]) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let server = Self {
            url,
            shared: Arc::default(),
        };
        server.publish(keys);
        let app = Router::new()
            .route("/keys", get(answer))
            .with_state(Arc::clone(&server.shared));
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        server
    }

    /// Replaces the set.
    pub fn publish(&self, keys: &[&SigningKey]) {
        self.publish_raw(keys.iter().map(|key| key.jwk()).collect());
    }

    /// Replaces the set by anything.
    pub fn publish_raw(&self, keys: Vec<Value>) {
        self.shared.lock().unwrap().keys = keys;
    }

    /// Answers 500 from now on, or no longer.
    pub fn set_down(&self, is_down: bool) {
        self.shared.lock().unwrap().is_down = is_down;
    }

    /// How long an answer may be kept, seconds.
    pub fn set_max_age(&self, seconds: u64) {
        self.shared.lock().unwrap().max_age_s = Some(seconds);
    }

    /// Requests so far.
    pub fn asked(&self) -> usize {
        self.shared.lock().unwrap().asked
    }
}

async fn answer(State(shared): State<Arc<Mutex<Shared>>>) -> Response {
    let mut shared = shared.lock().unwrap();
    shared.asked += 1;
    if shared.is_down {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let body = Json(json!({"keys": shared.keys}));
    match shared.max_age_s {
        Some(seconds) => (
            [("cache-control", format!("public, max-age={seconds}"))],
            body,
        )
            .into_response(),
        None => body.into_response(),
    }
}
