//! Seedream pictures: Ark's API, and what its requests look like.

use serde_json::{Value, json};

use super::suite::{IMAGE, Spec};
use crate::support::{
    pictures,
    upstream::{Api, KeyAt},
};

pub const SPEC: Spec = Spec {
    api: Api {
        name: "seedream",
        account: "ark",
        base_path: "/api/v3",
        key: KeyAt::Bearer,
        routes: &[("submit", "POST", "/images/generations")],
        media: "png",
    },
    covers: ("seedream", "image"),
    path: "/api/image/seedream",
    requests,
    several: Some(|| {
        json!({"model": "seedream-4.0",
               "providerOptions": {"sequential_image_generation": "auto", "max_images": 2}})
    }),
    ..IMAGE
};

fn requests() -> Vec<Value> {
    let picture = pictures::data_url(64, 36);
    vec![
        json!({"prompt": "plain"}),
        json!({"prompt": "third", "model": "seedream-3.0",
               "providerOptions": {"size": "1280x720", "seed": 7, "guidance_scale": 5.5}}),
        json!({"prompt": "third, small", "providerOptions": {"width": 256, "height": 256, "watermark": true, "style": "soft"}}),
        json!({"prompt": "third with a picture", "references": [picture]}),
        json!({"prompt": "fourth", "model": "seedream-4.0", "providerOptions": {"size": "4K", "seed": 7, "optimize_prompt_mode": "fast"}}),
        json!({"prompt": "fourth, wide", "model": "seedream-4.5", "references": [picture, picture],
               "providerOptions": {"aspect_ratio": "21:9", "num_images": 2}}),
        json!({"prompt": "fourth, small", "model": "seedream-4.5", "providerOptions": {"width": 1024, "height": 1024, "output_format": "png"}}),
        json!({"prompt": "a set", "model": "seedream-5.0", "references": [picture],
               "providerOptions": {"sequentialImageGeneration": "auto", "size": "3k", "aspect_ratio": "3:2", "output_format": "jpg"}}),
        json!({"prompt": "fifth", "model": "seedream-5.0-pro", "providerOptions": {"size": "1K", "format": "webp"}}),
    ]
}
