//! Luma's videos: their API, and what the requests look like.

use serde_json::{Value, json};

use super::suite::{Spec, VIDEO};
use crate::support::{
    pictures,
    upstream::{Api, KeyAt},
};

pub const SPEC: Spec = Spec {
    api: Api {
        name: "luma_video",
        account: "luma",
        base_path: "/dream-machine/v1",
        key: KeyAt::Bearer,
        routes: &[
            ("submit", "POST", "/generations/video"),
            ("poll", "GET", "/generations/*"),
            ("cancel", "DELETE", "/generations/*"),
        ],
        media: "mp4",
    },
    covers: ("luma", "video"),
    path: "/api/video/luma",
    requests,
    ..VIDEO
};

fn requests() -> Vec<Value> {
    let picture = pictures::data_url(8, 8);
    vec![
        // As the web client sends it.
        json!({"prompt": "of the client", "model": "luma-ray-2", "providerOptions": {"resolution": "720p", "duration_seconds": 6}}),
        json!({"prompt": "of the client, with all", "model": "luma-ray-flash-2", "providerOptions": {
            "resolution": "1080p", "duration_seconds": 9, "loop": true, "concepts": ["dolly_zoom", {"key": "pan_left"}],
            "keyframes": {"frame0": {"type": "image", "url": picture}, "frame1": {"type": "image", "url": picture}}}}),
        json!({"prompt": "shaped", "providerOptions": {"aspect_ratio": "2:3", "callback_url": "https://evil.example", "seed": 7}}),
    ]
}
