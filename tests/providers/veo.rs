//! Veo: its API, and what its requests look like. Its videos are fetched with the key, so the download
//! is a call of the API.

use serde_json::{Value, json};

use super::suite::{Spec, VIDEO};
use crate::support::{
    pictures,
    upstream::{Api, KeyAt},
};

pub const SPEC: Spec = Spec {
    api: Api {
        name: "veo",
        account: "gemini",
        base_path: "/v1beta",
        key: KeyAt::Header("x-goog-api-key"),
        routes: &[
            ("submit", "POST", "/models/*:predictLongRunning"),
            ("poll", "GET", "/models/*/operations/*"),
            ("download", "GET", "/files/*"),
        ],
        media: "mp4",
    },
    covers: ("veo", "video"),
    path: "/api/video/veo",
    requests,
    ..VIDEO
};

fn requests() -> Vec<Value> {
    let picture = pictures::data_url(8, 8);
    let bare = picture.split_once(',').unwrap().1;
    vec![
        // As the web client sends it.
        json!({"prompt": "of the client", "model": "veo-3.0-generate-001", "providerOptions": {"aspect_ratio": "16:9"}}),
        json!({"prompt": "of the client, with all", "model": "veo-3.0-fast-generate-001", "providerOptions": {
            "aspect_ratio": "9:16", "negative_prompt": "rain", "seed": 7, "image_base64": bare, "image_mime_type": "image/png"}}),
        json!({"prompt": "sharp", "providerOptions": {"resolution": "1080P", "duration": "6s"}}),
        json!({"prompt": "from frame to frame", "imageBase64": bare, "references": [picture, picture],
               "providerOptions": {"aspect_ratio": "1:1", "duration": 5, "fps": 24}}),
    ]
}
