//! Seedance: its API, and what its requests look like.

use serde_json::{Value, json};

use super::suite::{Spec, VIDEO};
use crate::support::{
    pictures,
    upstream::{Api, KeyAt},
};

pub const SPEC: Spec = Spec {
    api: Api {
        name: "seedance",
        account: "ark",
        base_path: "/api/v3",
        key: KeyAt::Bearer,
        routes: &[
            ("submit", "POST", "/contents/generations/tasks"),
            ("poll", "GET", "/contents/generations/tasks/*"),
            ("cancel", "DELETE", "/contents/generations/tasks/*"),
        ],
        media: "mp4",
    },
    covers: ("seedance", "video"),
    path: "/api/video/seedance",
    requests,
    ..VIDEO
};

fn requests() -> Vec<Value> {
    let picture = pictures::data_url(8, 8);
    let bare = picture.split_once(',').unwrap().1;
    vec![
        // As the web client sends it.
        json!({"prompt": "of the client", "model": "seedance-1.0-pro", "providerOptions": {
            "mode": "t2v", "ratio": "16:9", "duration": 5, "resolution": "1080p"}}),
        json!({"prompt": "of the client, with all", "model": "seedance-1.0-pro", "providerOptions": {
            "mode": "i2v-first-last", "ratio": "adaptive", "duration": 12, "resolution": "720p", "fps": 30, "camerafixed": true,
            "seed": -1, "firstFrameBase64": bare, "lastFrameBase64": bare}}),
        json!({"prompt": "a frame too many", "references": [picture, picture], "providerOptions": {"mode": "i2v-first", "seed": 7}}),
        json!({"prompt": "from a text alone", "references": [picture], "providerOptions": {"mode": "t2v", "ratio": "adaptive"}}),
    ]
}
