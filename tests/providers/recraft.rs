//! Recraft's pictures: their API, and what their requests look like.

use serde_json::{Value, json};

use super::suite::{IMAGE, Spec};
use crate::support::{
    pictures,
    upstream::{Api, KeyAt},
};

pub const SPEC: Spec = Spec {
    api: Api {
        name: "recraft",
        account: "recraft",
        base_path: "/v1",
        key: KeyAt::Bearer,
        routes: &[
            ("submit", "POST", "/images/generations"),
            ("submit", "POST", "/images/imageToImage"),
        ],
        media: "png",
    },
    covers: ("recraft", "image"),
    path: "/api/image/recraft",
    requests,
    several: Some(|| json!({"providerOptions": {"n": 2}})),
    ..IMAGE
};

fn requests() -> Vec<Value> {
    let picture = pictures::data_url(64, 64);
    vec![
        json!({"prompt": "plain"}),
        json!({"prompt": "styled", "model": "recraft", "providerOptions": {
            "style": "digital_illustration", "substyle": "hand_drawn", "size": "1820x1024", "negative_prompt": "rain",
            "seed": 7, "output_format": "webp", "response_format": "b64_json",
            "controls": {"colors": [{"rgb": [1, 2, 3]}], "artistic_level": 3, "no_text": true, "other": 1},
            "text_layout": [{"text": "fox", "bbox": [[0.3, 0.4], [0.6, 0.4], [0.6, 0.6], [0.3, 0.6]]}]}}),
        json!({"prompt": "older", "model": "recraft-v2", "providerOptions": {"aspect_ratio": "9:16", "style_id": "0c1f", "steps": 20}}),
        json!({"prompt": "newer", "model": "recraft-v4.1", "providerOptions": {"width": 1344, "height": 768, "style": "any", "output_format": "jpeg"}}),
        json!({"prompt": "from a picture", "references": [picture, picture], "providerOptions": {
            "strength": 0.3, "style": "realistic_image", "aspect_ratio": "1:1", "controls": {"no_text": true}}}),
    ]
}
