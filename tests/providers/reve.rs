//! Reve's pictures: their API, and what their requests look like.

use serde_json::{Value, json};

use super::suite::{IMAGE, Spec};
use crate::support::{
    pictures,
    upstream::{Api, KeyAt},
};

pub const SPEC: Spec = Spec {
    api: Api {
        name: "reve",
        account: "reve",
        base_path: "",
        key: KeyAt::Bearer,
        routes: &[
            ("submit", "POST", "/v1/image/*"),
            ("submit", "POST", "/v2/image/create"),
        ],
        media: "png",
    },
    covers: ("reve", "image"),
    path: "/api/image/reve",
    requests,
    ..IMAGE
};

fn requests() -> Vec<Value> {
    let picture = pictures::data_url(8, 8);
    vec![
        json!({"prompt": "plain"}),
        // As the web client sends it.
        json!({"prompt": "of the client", "model": "reve-image-1.0", "references": [], "providerOptions": {"width": 1024, "height": 1024}}),
        json!({"prompt": "with everything", "model": "reve-v1", "providerOptions": {
            "aspect_ratio": "5:4", "output_format": "webp", "test_time_scaling": 3, "negative_prompt": "rain", "guidance_scale": 4.5,
            "steps": 20, "seed": 7, "num_images": 2,
            "postprocessing": [{"process": "upscale", "upscale_factor": 3, "other": 1}, {"process": "remove_background"},
                               {"process": "fit_image", "max_dim": 2048}, {"process": "effect", "effect_name": "sepia"}]}}),
        json!({"prompt": "edited", "references": [picture], "providerOptions": {"output_format": "jpg"}}),
        json!({"prompt": "mixed", "imageBase64": picture, "references": [picture]}),
        json!({"prompt": "newer", "model": "reve-image-2", "references": [picture], "providerOptions": {"aspect_ratio": "21:9", "test_time_scaling": 3}}),
        json!({"prompt": "newer and plain", "model": "reve-image-2"}),
    ]
}
