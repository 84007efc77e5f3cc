//! Acme: the API, and what its requests look like.

use serde_json::{Value, json};

use super::suite::{IMAGE, Spec};
use crate::support::upstream::{Api, KeyAt};

pub const SPEC: Spec = Spec {
    api: Api {
        name: "acme",
        account: "acme",
        base_path: "",
        key: KeyAt::Bearer,
        routes: &[("submit", "POST", "/v1/images")],
        media: "png",
    },
    covers: ("acme", "image"),
    path: "/api/image/acme",
    several: Some(|| json!({"num_images": 2})),
    requests,
    ..IMAGE
};

fn requests() -> Vec<Value> {
    vec![
        json!({"prompt": "plain"}),
        json!({"prompt": "wide", "providerOptions": {"aspect_ratio": "21:9", "seed": 7, "steps": 3}}),
    ]
}
