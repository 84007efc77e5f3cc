//! Runway's videos: their API, and what the requests look like.

use serde_json::{Value, json};

use super::suite::{Spec, VIDEO};
use crate::support::{
    pictures,
    upstream::{Api, KeyAt},
};

pub const SPEC: Spec = Spec {
    api: Api {
        name: "runway_video",
        account: "runway",
        base_path: "",
        key: KeyAt::Bearer,
        routes: &[
            ("submit", "POST", "/v1/text_to_video"),
            ("submit", "POST", "/v1/image_to_video"),
            ("poll", "GET", "/v1/tasks/*"),
            ("cancel", "DELETE", "/v1/tasks/*"),
        ],
        media: "mp4",
    },
    covers: ("runway", "video"),
    path: "/api/video/runway",
    prompt_at: Some("/prompt"),
    requests,
    ..VIDEO
};

fn requests() -> Vec<Value> {
    let picture = pictures::data_url(8, 8);
    vec![
        // As the web client sends it.
        json!({"prompt": "of the client", "model": "gen4_turbo", "providerOptions": {"ratio": "1280:720", "duration": 5}}),
        json!({"prompt": "of the client, with all", "model": "gen4_turbo", "providerOptions": {
            "ratio": "1584:672", "duration": 10, "seed": 7, "contentModeration": {"publicFigureThreshold": "low"}}}),
        json!({"prompt": "from a picture", "references": [picture, picture], "providerOptions": {"ratio": "1584:672", "contentModeration": "off"}}),
        json!({"prompt": "newer", "model": "gen4.5", "providerOptions": {"promptImage": picture, "duration": 30}}),
    ]
}
