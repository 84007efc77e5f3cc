//! Grok pictures: xAI's API, and what its requests look like.

use serde_json::{Value, json};

use super::suite::{IMAGE, Spec};
use crate::support::{
    pictures,
    upstream::{Api, KeyAt},
};

pub const SPEC: Spec = Spec {
    api: Api {
        name: "grok",
        account: "xai",
        base_path: "",
        key: KeyAt::Bearer,
        routes: &[
            ("submit", "POST", "/v1/images/generations"),
            ("submit", "POST", "/v1/images/edits"),
        ],
        media: "png",
    },
    covers: ("grok", "image"),
    path: "/api/image/grok",
    requests,
    several: Some(|| json!({"providerOptions": {"n": 2}})),
    ..IMAGE
};

fn requests() -> Vec<Value> {
    let picture = pictures::data_url(64, 36);
    vec![
        json!({"prompt": "plain"}),
        // As the web client sends it.
        json!({"prompt": "of the client", "model": "grok-2-image", "providerOptions": {"response_format": "b64_json"}}),
        json!({"prompt": "of the client, all options", "model": "grok-2-image-latest",
               "providerOptions": {"response_format": "b64_json", "n": 3, "image_format": "png"}}),
        json!({"prompt": "tall", "providerOptions": {"aspect_ratio": "9:19.5", "resolution": "2k"}}),
        json!({"prompt": "sized", "model": "grok-imagine-image-quality",
               "providerOptions": {"width": 2048, "height": 1000, "seed": 7, "quality": "low"}}),
        json!({"prompt": "newest", "model": "grok-imagine-image-2.0", "references": [picture],
               "providerOptions": {"aspect_ratio": "5:4", "quality": "medium"}}),
        json!({"prompt": "edited", "references": [picture], "providerOptions": {"aspect_ratio": "16:9"}}),
        json!({"prompt": "joined", "references": [picture, picture, picture, picture], "providerOptions": {"aspect_ratio": "16:9"}}),
    ]
}
