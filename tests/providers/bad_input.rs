//! What a provider would refuse is refused before anything is written or sent.

use serde_json::{Value, json};

use super::{grok, ideogram, qwen, seedream, suite::Spec};
use crate::support::{pictures, test_app, upstream::Upstream};

#[tokio::test]
async fn what_upstream_would_refuse_is_refused_at_the_door() {
    let specs = [&grok::SPEC, &ideogram::SPEC, &qwen::SPEC, &seedream::SPEC];
    let mut upstreams = Vec::new();
    let mut app = test_app();
    for spec in specs {
        let upstream = Upstream::start(spec.api).await;
        app = app.upstream(&upstream);
        upstreams.push(upstream);
    }
    app.run(async |app| {
        let user = app.user().await;
        for (spec, mut body, says) in cases() {
            body["prompt"] = "a fox".into();
            let answer = app.post(spec.path, Some(&user.token), body.clone()).await;
            let name = format!("{} {body:.200}: {}", spec.path, answer.json);
            assert_eq!(answer.status, 400, "{name}");
            let message = answer.json["error"].as_str().unwrap_or_default();
            assert!(message.contains(says), "{name}");
        }
        assert_eq!(app.count("select count(*) from jobs").await, 0);
        assert_eq!(app.credits(&user).await, 20);
        assert!(app.bucket.keys("inputs").is_empty());
        for upstream in &upstreams {
            assert!(upstream.calls_of(0).is_empty(), "{}", upstream.api.name);
        }
    })
    .await;
}

fn cases() -> Vec<(&'static Spec, Value, &'static str)> {
    let options = |options: Value| json!({"providerOptions": options});
    let with = |picture: Vec<u8>| {
        use base64::{Engine, engine::general_purpose::STANDARD};
        json!({"imageBase64": STANDARD.encode(picture)})
    };
    let large = || {
        let mut png = pictures::png(64, 36);
        png.resize(10 * 1024 * 1024 + 1, 0);
        png
    };
    let gif = || b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;".to_vec();
    vec![
        (&ideogram::SPEC, options(json!({"rendering_speed": "FAST"})), "rendering_speed must be one of DEFAULT, FLASH"),
        (&ideogram::SPEC, options(json!({"style_type": "CINEMATIC"})), "style_type must be one of AUTO"),
        (&ideogram::SPEC, options(json!({"style_preset": "CINEMATIC_REALISM"})), "style_preset is none of the known presets"),
        (&ideogram::SPEC, options(json!({"style_codes": ["xyz"]})), "style_codes must be at most 8 codes"),
        (&ideogram::SPEC, options(json!({"style_codes": ["0123abcd"], "style_type": "AUTO"})), "style_codes cannot be combined"),
        (&ideogram::SPEC, options(json!({"color_palette": {"name": "PLAID"}})), "color_palette must have a name (EMBER"),
        (&ideogram::SPEC, options(json!({"color_palette": {"members": [{"color_hex": "red"}]}})), "color_palette must have"),
        (&ideogram::SPEC, options(json!({"color_palette": {"members": [{"color_hex": "#ff0000", "color_weight": 2}]}})), "color_palette must have"),
        (&ideogram::SPEC, options(json!({"num_images": 9})), "num_images must be an integer"),
        (&ideogram::SPEC, options(json!({"aspect_ratio": "wide"})), "aspect_ratio must be like 1:1"),
        (&ideogram::SPEC, options(json!({"negative_prompt": 7})), "negative_prompt must be a text"),
        (&ideogram::SPEC, json!({"model": "ideogram-v4", "providerOptions": {"rendering_speed": "FLASH"}}), "rendering_speed must be one of DEFAULT, TURBO"),
        (&ideogram::SPEC, json!({"model": "ideogram-v2"}), "Unsupported model: ideogram-v2"),
        (&ideogram::SPEC, with(large()), "at most 10 MB"),
        (&ideogram::SPEC, with(gif()), "no GIF"),
        (&qwen::SPEC, options(json!({"negative_prompt": "x".repeat(501)})), "negative_prompt must have at most 500 characters"),
        (&qwen::SPEC, options(json!({"prompt_extend": "perhaps"})), "prompt_extend must be true or false"),
        (&qwen::SPEC, json!({"model": "qwen-image-edit"}), "give at least one"),
        (&qwen::SPEC, json!({"model": "chatgpt-image"}), "Unsupported model: chatgpt-image"),
        (&qwen::SPEC, with(large()), "at most 10 MB"),
        (&grok::SPEC, options(json!({"resolution": "8k"})), "resolution must be one of 1k, 2k"),
        (&grok::SPEC, json!({"model": "grok-imagine-image-2.0", "providerOptions": {"quality": "best"}}), "quality must be one of low, medium, high"),
        (&grok::SPEC, json!({"model": "grok-3"}), "Unsupported model: grok-3"),
        (&grok::SPEC, with(gif()), "no GIF"),
        (&seedream::SPEC, options(json!({"size": "4K"})), "size must be two sides in pixels"),
        (&seedream::SPEC, options(json!({"guidance_scale": 11})), "guidance_scale must be between 1 and 10"),
        (&seedream::SPEC, json!({"model": "seedream-4.5", "providerOptions": {"size": "1K"}}), "size must be one of 2K, 4K"),
        (&seedream::SPEC, json!({"model": "seedream-4.0", "providerOptions": {"sequential_image_generation": "always"}}), "sequential_image_generation must be one of disabled, auto"),
        (&seedream::SPEC, json!({"model": "seedream-4.0", "providerOptions": {"sequential_image_generation": "auto", "max_images": 16}}), "max_images must be an integer between 1 and 15"),
        (&seedream::SPEC, with(pictures::png(8, 8)), "sides above 14 pixels"),
        (&seedream::SPEC, with(pictures::png(1700, 20)), "none longer than 16:1"),
    ]
}
