//! Ideogram's upscaler: its API, and what its requests look like.

use serde_json::json;

use super::{
    ideogram,
    suite::{Spec, UPSCALE},
};
use crate::support::upstream::Api;

pub const SPEC: Spec = Spec {
    api: Api {
        name: "ideogram_upscale",
        routes: &[("submit", "POST", "/upscale")],
        ..ideogram::SPEC.api
    },
    covers: ("ideogram", "upscale"),
    request: |_prompt| json!({"provider": "ideogram", "model": "ideogram-upscale", "imageUrl": "{{source}}", "scale": 2}),
    requests: || {
        vec![
            json!({"provider": "ideogram", "model": "ideogram", "imageUrl": "{{source}}"}),
            json!({"provider": "ideogram", "model": "ideogram-upscale", "imageUrl": "{{source}}", "scale": 2,
                   "options": {"prompt": "a harbour at dusk", "resemblance": 80, "detail": 20, "magic_prompt": "off",
                               "seed": 7, "creativity": 3}}),
        ]
    },
    ..UPSCALE
};
