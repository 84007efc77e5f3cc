//! Google's image models: the API, and what their requests look like.

use serde_json::{Value, json};

use super::suite::{IMAGE, Spec};
use crate::support::{
    pictures,
    upstream::{Api, KeyAt},
};

pub const SPEC: Spec = Spec {
    api: Api {
        name: "gemini",
        account: "gemini",
        base_path: "/v1beta",
        key: KeyAt::Header("x-goog-api-key"),
        routes: &[("submit", "POST", "/models/*:generateContent")],
        media: "png",
    },
    covers: ("gemini", "image"),
    path: "/api/image/gemini",
    requests,
    ..IMAGE
};

fn requests() -> Vec<Value> {
    let picture = pictures::data_url(8, 8);
    vec![
        // As the web client sends it.
        json!({"prompt": "of the client", "model": "gemini-2.5-flash-image", "mimeType": "image/png",
               "temperature": 1, "outputLength": 8192, "topP": 1, "providerOptions": {"aspectRatio": "1:1"},
               "config": {"imageConfig": {"aspectRatio": "1:1"}}, "references": [picture]}),
        json!({"prompt": "its second try", "model": "gemini-2.5-flash-image-preview", "providerOptions": {"aspectRatio": "21:9"}}),
        json!({"prompt": "large", "model": "gemini-3-pro-image", "imageBase64": picture,
               "providerOptions": {"imageSize": "2k", "aspect_ratio": "7:5", "seed": 4294967296_u64}}),
        json!({"prompt": "of old", "model": "imagen-4.0-fast-generate-001", "config": {"imageConfig": {"imageSize": "4K"}},
               "providerOptions": {"sampleCount": 2, "personGeneration": "allow_adult"}}),
        json!({"prompt": "two", "num_images": 2}),
    ]
}
