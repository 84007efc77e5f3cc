//! Reve's upscales: their API, and what their requests look like.

use serde_json::json;

use super::{
    reve,
    suite::{Spec, UPSCALE},
};
use crate::support::upstream::Api;

pub const SPEC: Spec = Spec {
    api: Api {
        name: "reve_upscale",
        routes: &[("submit", "POST", "/v1/image/edit")],
        ..reve::SPEC.api
    },
    covers: ("reve", "upscale"),
    request: |_prompt| {
        json!({"provider": "reve", "model": "reve-upscale", "imageUrl": "{{source}}"})
    },
    requests: || {
        vec![
            json!({"provider": "reve", "model": "reve-upscale", "imageUrl": "{{source}}", "scale": 4,
                   "options": {"output_format": "webp", "seed": 7}}),
        ]
    },
    ..UPSCALE
};
