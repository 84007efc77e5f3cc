//! Qwen pictures: DashScope's API, and what its requests look like.

use serde_json::{Value, json};

use super::suite::{IMAGE, Spec};
use crate::support::{
    pictures,
    upstream::{Api, KeyAt},
};

pub const SPEC: Spec = Spec {
    api: Api {
        name: "qwen",
        account: "dashscope",
        base_path: "/api/v1",
        key: KeyAt::Bearer,
        routes: &[(
            "submit",
            "POST",
            "/services/aigc/multimodal-generation/generation",
        )],
        media: "png",
    },
    covers: ("qwen", "image"),
    path: "/api/image/qwen",
    requests,
    several: Some(|| json!({"model": "qwen-image-2.0", "providerOptions": {"n": 2}})),
    ..IMAGE
};

fn requests() -> Vec<Value> {
    let picture = pictures::data_url(64, 36);
    vec![
        json!({"prompt": "plain"}),
        // As the web client sends it.
        json!({"prompt": "of the client", "model": "qwen-image",
               "providerOptions": {"size": "1328*1328", "prompt_extend": true, "watermark": false}}),
        // A size of the client's list that upstream has no more.
        json!({"prompt": "in an older size", "providerOptions": {"size": "1472*1140", "seed": 7, "negative_prompt": "fog"}}),
        json!({"prompt": "wide", "providerOptions": {"aspect_ratio": "21:9", "seed": 4_294_967_297_i64, "steps": 30}}),
        json!({"prompt": "x".repeat(900), "model": "qwen-image-max"}),
        json!({"prompt": "edited", "references": [picture, picture]}),
        json!({"prompt": "edited by the first", "model": "qwen-image-edit", "references": [picture],
               "providerOptions": {"prompt_extend": true, "size": "512*512"}}),
        json!({"prompt": "edited in a size", "model": "qwen-image-edit-max", "references": [picture],
               "providerOptions": {"width": 300, "height": 900, "n": 3}}),
        json!({"prompt": "newer", "model": "qwen-image-2.0-pro", "providerOptions": {"aspect_ratio": "16:9", "promptExtend": false}}),
        json!({"prompt": "newer and rare", "model": "qwen-image-3.0", "providerOptions": {"aspect_ratio": "21:9"}}),
        json!({"prompt": "newer with pictures", "model": "qwen-image-3.0-pro", "references": [picture, picture, picture, picture],
               "providerOptions": {"width": 400, "height": 400, "num_images": 4}}),
    ]
}
