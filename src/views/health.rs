//! `GET /health` (platform contract 10.1).

use serde::Serialize;
use serde_json::{Map, Value, json};

/// The health answer.
#[derive(Debug, Serialize)]
pub struct HealthView {
    pub status: &'static str,
    pub info: Value,
    pub error: Value,
    pub details: Value,
}

impl HealthView {
    /// Nothing was asked.
    #[must_use]
    pub fn unchecked() -> Self {
        let empty = || Value::Object(Map::new());
        Self {
            status: "ok",
            info: empty(),
            error: empty(),
            details: empty(),
        }
    }

    /// The database answered.
    #[must_use]
    pub fn up() -> Self {
        let database = json!({"database": {"status": "up"}});
        Self {
            status: "ok",
            info: database.clone(),
            error: json!({}),
            details: database,
        }
    }

    /// The database failed, or did not answer in time (`message`).
    #[must_use]
    pub fn down(message: Option<String>) -> Self {
        let database = match message {
            None => json!({"database": {"status": "down"}}),
            Some(message) => json!({"database": {"status": "down", "message": message}}),
        };
        Self {
            status: "error",
            info: json!({}),
            error: database.clone(),
            details: database,
        }
    }
}
