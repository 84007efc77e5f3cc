//! Ideogram's pictures: its API, and what its requests look like.

use serde_json::{Value, json};

use super::suite::{IMAGE, Spec};
use crate::support::{
    pictures,
    upstream::{Api, KeyAt},
};

pub const SPEC: Spec = Spec {
    api: Api {
        name: "ideogram",
        account: "ideogram",
        base_path: "",
        key: KeyAt::Header("api-key"),
        routes: &[
            ("submit", "POST", "/v1/*/generate"),
            ("submit", "POST", "/v1/ideogram-v3/remix"),
        ],
        media: "png",
    },
    covers: ("ideogram", "image"),
    path: "/api/image/ideogram",
    requests,
    several: Some(|| json!({"providerOptions": {"num_images": 2}})),
    ..IMAGE
};

fn requests() -> Vec<Value> {
    let picture = pictures::data_url(64, 36);
    let base64 = picture.split_once(',').unwrap().1;
    vec![
        json!({"prompt": "plain"}),
        // As the web client sends it.
        json!({"prompt": "of the client", "model": "ideogram",
               "providerOptions": {"aspect_ratio": "1:1", "rendering_speed": "DEFAULT", "num_images": 1}}),
        json!({"prompt": "of the client, all options", "model": "ideogram", "providerOptions": {
               "aspect_ratio": "21:9", "rendering_speed": "QUALITY", "seed": 7, "style_preset": "golden_hour",
               "style_type": "REALISTIC", "negative_prompt": "fog"}}),
        json!({"prompt": "sized", "providerOptions": {"resolution": "1312x736", "magicPrompt": "off",
               "renderingSpeed": "balanced", "color_palette": {"members": [{"color_hex": "ff8800", "color_weight": 0.5}, {"color_hex": "#001122"}]}}}),
        json!({"prompt": "in another size", "providerOptions": {"width": 1000, "height": 700, "style_codes": ["0123abcd", "DEADBEEF"],
               "color_palette": "ember", "seed": 4_294_967_296_i64, "guidance_scale": 3}}),
        json!({"prompt": "remixed", "imageBase64": base64, "references": [picture], "providerOptions": {"image_weight": 70}}),
        json!({"prompt": "in a style", "references": [picture, picture], "providerOptions": {"reference_type": "style", "aspect_ratio": "2x3"}}),
        json!({"prompt": "with a person", "references": [picture], "providerOptions": {"reference_type": "character", "style_type": "FICTION"}}),
        json!({"prompt": "newer", "model": "ideogram-v4", "references": [picture],
               "providerOptions": {"aspect_ratio": "16:9", "rendering_speed": "TURBO", "num_images": 2, "seed": 5}}),
    ]
}
