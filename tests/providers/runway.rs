//! Runway's pictures: their API, and what their requests look like.

use serde_json::{Value, json};

use super::suite::{IMAGE, Spec};
use crate::support::{
    pictures,
    upstream::{Api, KeyAt},
};

pub const SPEC: Spec = Spec {
    api: Api {
        name: "runway",
        account: "runway",
        base_path: "",
        key: KeyAt::Bearer,
        routes: &[
            ("submit", "POST", "/v1/text_to_image"),
            ("poll", "GET", "/v1/tasks/*"),
            ("cancel", "DELETE", "/v1/tasks/*"),
        ],
        media: "png",
    },
    covers: ("runway", "image"),
    path: "/api/image/runway",
    requests,
    ..IMAGE
};

fn requests() -> Vec<Value> {
    let picture = pictures::data_url(8, 8);
    vec![
        json!({"prompt": "plain"}),
        // As the web client sends it.
        json!({"prompt": "of the client", "model": "gen4_image", "references": [], "styleId": "s", "providerOptions": {"ratio": "1920:1080"}}),
        json!({"prompt": "wide", "providerOptions": {"ratio": "2112:912", "seed": 7, "contentModeration": {"publicFigureThreshold": "low"}}}),
        // Sizes of another model there.
        json!({"prompt": "older", "providerOptions": {"ratio": "1344:768", "num_images": 2, "negative_prompt": "rain"}}),
        json!({"prompt": "square", "providerOptions": {"aspect_ratio": "1:1"}}),
        json!({"prompt": "tall", "providerOptions": {"aspect_ratio": "4:5", "output_format": "webp"}}),
        json!({"prompt": "with @hero and @ref2", "model": "gen4_image_turbo", "imageBase64": picture,
               "references": [picture, picture, picture], "providerOptions": {"referenceTags": ["hero"]}}),
    ]
}
