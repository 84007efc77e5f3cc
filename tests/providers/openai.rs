//! OpenAI's GPT image models: the API, and what their requests look like.

use serde_json::{Value, json};

use super::suite::{IMAGE, Spec};
use crate::support::{
    pictures,
    upstream::{Api, KeyAt},
};

pub const SPEC: Spec = Spec {
    api: Api {
        name: "openai",
        account: "openai",
        base_path: "/v1",
        key: KeyAt::Bearer,
        routes: &[
            ("submit", "POST", "/images/generations"),
            ("submit", "POST", "/images/edits"),
        ],
        media: "png",
    },
    covers: ("openai", "image"),
    path: "/api/image/chatgpt",
    several: Some(|| json!({"n": 2})),
    requests,
    ..IMAGE
};

fn requests() -> Vec<Value> {
    let picture = pictures::data_url(8, 8);
    vec![
        // As the web client sends it.
        json!({"prompt": "of the client", "n": 1, "size": "1024x1024", "quality": "high",
               "background": "transparent", "model": "chatgpt-image", "styleId": "style-1"}),
        json!({"prompt": "small", "size": "256x256", "quality": "standard", "background": "white"}),
        json!({"prompt": "wide", "providerOptions": {"aspect_ratio": "16:9", "output_format": "jpg", "output_compression": 80, "moderation": "low"}}),
        json!({"prompt": "free", "providerOptions": {"size": "1530x870", "quality": "hd", "output_compression": 50, "seed": 5}}),
        json!({"prompt": "too wide", "model": "gpt-image-2", "providerOptions": {"width": 2048, "height": 256}}),
        json!({"prompt": "edited", "model": "dall-e-3", "references": [picture, picture],
               "providerOptions": {"input_fidelity": "high", "size": "1024x1536"}}),
    ]
}
