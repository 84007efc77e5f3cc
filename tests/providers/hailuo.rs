//! Hailuo: its API, and what its requests look like.

use serde_json::{Value, json};

use super::suite::{Spec, VIDEO};
use crate::support::{
    pictures,
    upstream::{Api, KeyAt},
};

pub const SPEC: Spec = Spec {
    api: Api {
        name: "hailuo",
        account: "minimax",
        base_path: "",
        key: KeyAt::Bearer,
        routes: &[
            ("submit", "POST", "/v1/video_generation"),
            ("poll", "GET", "/v1/query/video_generation"),
            ("file", "GET", "/v1/files/retrieve"),
        ],
        media: "mp4",
    },
    covers: ("hailuo", "video"),
    path: "/api/video/hailuo",
    requests,
    ..VIDEO
};

fn requests() -> Vec<Value> {
    let picture = pictures::data_url(8, 8);
    let bare = picture.split_once(',').unwrap().1;
    vec![
        // As the web client sends it, with the pair that upstream refuses.
        json!({"prompt": "of the client", "model": "hailuo-02", "providerOptions": {
            "duration": 10, "resolution": "1080P", "prompt_optimizer": true, "watermark": false}}),
        json!({"prompt": "of the client, with frames", "providerOptions": {
            "duration": 6, "resolution": "1080P", "fast_pretreatment": true, "first_frame_base64": bare, "last_frame_base64": bare}}),
        json!({"prompt": "small", "providerOptions": {"resolution": "512P"}}),
        json!({"prompt": "small from a picture", "references": [picture], "providerOptions": {"resolution": "512P", "duration": 7, "seed": 1}}),
    ]
}
