//! Kling: its API, and what its requests look like.

use serde_json::{Value, json};

use super::suite::{Spec, VIDEO};
use crate::support::{
    pictures,
    upstream::{Api, KeyAt},
};

pub const SPEC: Spec = Spec {
    api: Api {
        name: "kling",
        account: "kling",
        base_path: "",
        key: KeyAt::Bearer,
        routes: &[
            ("submit", "POST", "/v1/videos/text2video"),
            ("submit", "POST", "/v1/videos/image2video"),
            ("poll", "GET", "/v1/videos/*/*"),
        ],
        media: "mp4",
    },
    covers: ("kling", "video"),
    path: "/api/video/kling",
    requests,
    ..VIDEO
};

fn requests() -> Vec<Value> {
    let picture = pictures::data_url(320, 300);
    vec![
        // As the web client sends it.
        json!({"prompt": "of the client", "model": "kling-v2.1-master", "providerOptions": {
            "aspect_ratio": "16:9", "duration": 5, "mode": "standard"}}),
        json!({"prompt": "of the client, with all", "model": "kling-v2-master", "providerOptions": {
            "negative_prompt": "rain", "aspect_ratio": "4:3", "duration": "10", "cfg_scale": 0.5, "mode": "professional",
            "camera_control": {"type": "simple", "config": {"zoom": 5}}}}),
        json!({"prompt": "from frame to frame", "references": [picture, picture], "providerOptions": {"aspect_ratio": "9:16", "duration": 8}}),
    ]
}
