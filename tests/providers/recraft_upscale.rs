//! Recraft's upscalers: their API, and what their requests look like.

use serde_json::json;

use super::{
    recraft,
    suite::{Spec, UPSCALE},
};
use crate::support::upstream::Api;

pub const SPEC: Spec = Spec {
    api: Api {
        name: "recraft_upscale",
        routes: &[
            ("submit", "POST", "/images/crispUpscale"),
            ("submit", "POST", "/images/creativeUpscale"),
        ],
        ..recraft::SPEC.api
    },
    covers: ("recraft", "upscale"),
    request: |_prompt| {
        json!({"provider": "recraft", "model": "recraft-crisp-upscale", "imageUrl": "{{source}}"})
    },
    requests: || {
        vec![
            json!({"provider": "recraft", "model": "recraft-crisp-upscale", "imageUrl": "{{source}}", "scale": 4}),
            json!({"provider": "recraft", "model": "recraft-creative-upscale", "imageUrl": "{{source}}",
                   "options": {"output_format": "png", "creativity": 3}}),
        ]
    },
    ..UPSCALE
};
