//! FLUX: its API, and what its requests look like.

use serde_json::{Value, json};

use super::suite::{IMAGE, Spec};
use crate::support::{
    pictures,
    upstream::{Api, KeyAt},
};

pub const SPEC: Spec = Spec {
    api: Api {
        name: "flux",
        account: "flux",
        base_path: "",
        key: KeyAt::Header("x-key"),
        routes: &[
            ("poll", "GET", "/v1/get_result"),
            ("submit", "POST", "/v1/*"),
        ],
        media: "png",
    },
    covers: ("flux", "image"),
    path: "/api/image/flux",
    requests,
    ..IMAGE
};

fn requests() -> Vec<Value> {
    let picture = pictures::data_url(8, 8);
    let bare = picture.split_once(',').unwrap().1;
    vec![
        json!({"prompt": "plain"}),
        // As the web client sends it.
        json!({"prompt": "of the client", "model": "flux-pro-1.1", "references": [picture], "providerOptions": {}}),
        json!({"prompt": "sized", "providerOptions": {"width": 770, "height": 512, "seed": 7, "safety_tolerance": 3}}),
        json!({"prompt": "wide", "providerOptions": {"aspect_ratio": "16:9"}}),
        json!({"prompt": "ultra", "model": "flux-pro-1.1-ultra", "providerOptions": {"aspect_ratio": "21:9", "raw": true, "output_format": "jpeg"}}),
        json!({"prompt": "edited", "model": "flux-kontext-pro", "imageBase64": bare, "references": [picture],
               "providerOptions": {"input_image_2": picture, "prompt_upsampling": true, "webhook_url": "https://evil.example", "num_images": 3}}),
        json!({"prompt": "newer", "model": "flux-2-flex", "references": [picture], "providerOptions": {"size": "1000x600", "steps": 30, "guidance": 4.5}}),
        json!({"prompt": "older", "model": "flux-1.1", "providerOptions": {"steps": 30, "output_format": "webp"}}),
    ]
}
