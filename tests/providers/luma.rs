//! Luma's Photon models: their API, and what their requests look like.

use serde_json::{Value, json};

use super::suite::{IMAGE, Spec};
use crate::support::{
    pictures,
    upstream::{Api, KeyAt},
};

pub const SPEC: Spec = Spec {
    api: Api {
        name: "luma",
        account: "luma",
        base_path: "/dream-machine/v1",
        key: KeyAt::Bearer,
        routes: &[
            ("submit", "POST", "/generations/image"),
            ("poll", "GET", "/generations/*"),
            ("cancel", "DELETE", "/generations/*"),
        ],
        media: "png",
    },
    covers: ("luma", "image"),
    path: "/api/image/luma",
    requests,
    ..IMAGE
};

fn requests() -> Vec<Value> {
    let picture = pictures::data_url(8, 8);
    vec![
        json!({"prompt": "plain"}),
        // As the web client sends it.
        json!({"prompt": "of the client", "model": "luma-photon-1", "providerOptions": {"aspect_ratio": "1:1"}}),
        json!({"prompt": "flash", "model": "luma-photon-flash-1", "providerOptions": {"aspect_ratio": "21:9", "format": "png"}}),
        json!({"prompt": "never was", "model": "luma-dream-shaper", "providerOptions": {"aspect_ratio": "4:5", "seed": 7, "num_images": 2, "steps": 20, "callback_url": "https://evil.example"}}),
        json!({"prompt": "guided", "references": [picture], "providerOptions": {"width": 1920, "height": 1080, "output_format": "webp"}}),
        json!({"prompt": "every kind", "references": [picture], "providerOptions": {
            "image_ref": [{"url": picture, "weight": 0.5}],
            "style_ref": {"url": picture},
            "character_ref": {"identity0": {"images": [picture, picture]}},
            "modify_image_ref": picture, "output_format": "jpeg"}}),
        json!({"prompt": "too many", "references": [picture, picture, picture, picture, picture]}),
    ]
}
