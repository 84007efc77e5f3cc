//! Wan: its API, and what its requests look like.

use serde_json::{Value, json};

use super::suite::{Spec, VIDEO};
use crate::support::{
    pictures,
    upstream::{Api, KeyAt},
};

pub const SPEC: Spec = Spec {
    api: Api {
        name: "wan",
        account: "dashscope",
        base_path: "/api/v1",
        key: KeyAt::Bearer,
        routes: &[
            (
                "submit",
                "POST",
                "/services/aigc/video-generation/video-synthesis",
            ),
            ("poll", "GET", "/tasks/*"),
            ("cancel", "POST", "/tasks/*/cancel"),
        ],
        media: "mp4",
    },
    covers: ("wan", "video"),
    path: "/api/video/wan",
    requests,
    ..VIDEO
};

fn requests() -> Vec<Value> {
    let picture = pictures::data_url(8, 8);
    vec![
        // As the web client sends it.
        json!({"prompt": "of the client", "model": "wan2.2-t2v-plus", "providerOptions": {
            "size": "1920*1080", "negative_prompt": "rain", "prompt_extend": true, "seed": 7, "watermark": false}}),
        json!({"prompt": "shaped", "providerOptions": {"aspect_ratio": "9:16", "duration": 10, "seed": 4_294_967_295_u64}}),
        json!({"prompt": "from a picture", "imageBase64": picture, "providerOptions": {"resolution": "480p", "size": "1920*1080"}}),
    ]
}
