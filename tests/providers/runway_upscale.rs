//! Runway's upscaler: its API, and what its requests look like.

use serde_json::json;

use super::{
    runway,
    suite::{Spec, UPSCALE},
};
use crate::support::upstream::Api;

pub const SPEC: Spec = Spec {
    api: Api {
        name: "runway_upscale",
        routes: &[
            ("submit", "POST", "/v1/image_upscale"),
            ("poll", "GET", "/v1/tasks/*"),
            ("cancel", "DELETE", "/v1/tasks/*"),
        ],
        ..runway::SPEC.api
    },
    covers: ("runway", "upscale"),
    request: |_prompt| {
        json!({"provider": "runway", "model": "magnific-precision-upscaler-v2", "imageUrl": "{{source}}"})
    },
    requests: || {
        vec![
            json!({"provider": "runway", "model": "magnific_precision_upscaler_v2", "imageUrl": "{{source}}", "scale": 4,
                   "options": {"flavor": "photo", "sharpen": 10, "smartGrain": 0, "ultraDetail": 100, "creativity": 3}}),
        ]
    },
    ..UPSCALE
};
