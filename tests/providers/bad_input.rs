//! What a provider would refuse is refused before anything is written or sent.

use serde_json::{Value, json};

use super::{grok, ideogram, luma, qwen, recraft, reve, runway, seedream, suite::Spec};
use crate::support::{pictures, test_app, upstream::Upstream};

#[tokio::test]
async fn what_upstream_would_refuse_is_refused_at_the_door() {
    let specs = [
        &grok::SPEC,
        &ideogram::SPEC,
        &luma::SPEC,
        &qwen::SPEC,
        &recraft::SPEC,
        &reve::SPEC,
        &runway::SPEC,
        &seedream::SPEC,
    ];
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
    let picture = || pictures::data_url(64, 64);
    let gif = || {
        b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;"
            .to_vec()
    };
    vec![
        (
            &ideogram::SPEC,
            options(json!({"rendering_speed": "FAST"})),
            "rendering_speed must be one of DEFAULT, FLASH",
        ),
        (
            &ideogram::SPEC,
            options(json!({"style_type": "CINEMATIC"})),
            "style_type must be one of AUTO",
        ),
        (
            &ideogram::SPEC,
            options(json!({"style_preset": "CINEMATIC_REALISM"})),
            "style_preset is none of the known presets",
        ),
        (
            &ideogram::SPEC,
            options(json!({"style_codes": ["xyz"]})),
            "style_codes must be at most 8 codes",
        ),
        (
            &ideogram::SPEC,
            options(json!({"style_codes": ["0123abcd"], "style_type": "AUTO"})),
            "style_codes cannot be combined",
        ),
        (
            &ideogram::SPEC,
            options(json!({"color_palette": {"name": "PLAID"}})),
            "color_palette must have a name (EMBER",
        ),
        (
            &ideogram::SPEC,
            options(json!({"color_palette": {"members": [{"color_hex": "red"}]}})),
            "color_palette must have",
        ),
        (
            &ideogram::SPEC,
            options(
                json!({"color_palette": {"members": [{"color_hex": "#ff0000", "color_weight": 2}]}}),
            ),
            "color_palette must have",
        ),
        (
            &ideogram::SPEC,
            options(json!({"num_images": 9})),
            "num_images must be an integer",
        ),
        (
            &ideogram::SPEC,
            options(json!({"aspect_ratio": "wide"})),
            "aspect_ratio must be like 1:1",
        ),
        (
            &ideogram::SPEC,
            options(json!({"negative_prompt": 7})),
            "negative_prompt must be a text",
        ),
        (
            &ideogram::SPEC,
            json!({"model": "ideogram-v4", "providerOptions": {"rendering_speed": "FLASH"}}),
            "rendering_speed must be one of DEFAULT, TURBO",
        ),
        (
            &ideogram::SPEC,
            json!({"model": "ideogram-v2"}),
            "Unsupported model: ideogram-v2",
        ),
        (&ideogram::SPEC, with(large()), "at most 10 MB"),
        (&ideogram::SPEC, with(gif()), "no GIF"),
        (
            &qwen::SPEC,
            options(json!({"negative_prompt": "x".repeat(501)})),
            "negative_prompt must have at most 500 characters",
        ),
        (
            &qwen::SPEC,
            options(json!({"prompt_extend": "perhaps"})),
            "prompt_extend must be true or false",
        ),
        (
            &qwen::SPEC,
            json!({"model": "qwen-image-edit"}),
            "give at least one",
        ),
        (
            &qwen::SPEC,
            json!({"model": "chatgpt-image"}),
            "Unsupported model: chatgpt-image",
        ),
        (&qwen::SPEC, with(large()), "at most 10 MB"),
        (
            &grok::SPEC,
            options(json!({"resolution": "8k"})),
            "resolution must be one of 1k, 2k",
        ),
        (
            &grok::SPEC,
            json!({"model": "grok-imagine-image-2.0", "providerOptions": {"quality": "best"}}),
            "quality must be one of low, medium, high",
        ),
        (
            &grok::SPEC,
            json!({"model": "grok-3"}),
            "Unsupported model: grok-3",
        ),
        (&grok::SPEC, with(gif()), "no GIF"),
        (
            &seedream::SPEC,
            options(json!({"size": "4K"})),
            "size must be two sides in pixels",
        ),
        (
            &seedream::SPEC,
            options(json!({"guidance_scale": 11})),
            "guidance_scale must be between 1 and 10",
        ),
        (
            &seedream::SPEC,
            json!({"model": "seedream-4.5", "providerOptions": {"size": "1K"}}),
            "size must be one of 2K, 4K",
        ),
        (
            &seedream::SPEC,
            json!({"model": "seedream-4.0", "providerOptions": {"sequential_image_generation": "always"}}),
            "sequential_image_generation must be one of disabled, auto",
        ),
        (
            &seedream::SPEC,
            json!({"model": "seedream-4.0", "providerOptions": {"sequential_image_generation": "auto", "max_images": 16}}),
            "max_images must be an integer between 1 and 15",
        ),
        (
            &seedream::SPEC,
            with(pictures::png(8, 8)),
            "sides above 14 pixels",
        ),
        (
            &seedream::SPEC,
            with(pictures::png(1700, 20)),
            "none longer than 16:1",
        ),
        (
            &luma::SPEC,
            options(json!({"image_ref": "reference:0"})),
            "image_ref must hold addresses or data URLs",
        ),
        (
            &luma::SPEC,
            options(json!({"style_ref": [7]})),
            "style_ref must hold addresses or data URLs",
        ),
        (
            &luma::SPEC,
            options(json!({"image_ref": {"url": picture(), "weight": 2}})),
            "image_ref must have weights between 0 and 1",
        ),
        (
            &luma::SPEC,
            options(json!({"modify_image_ref": [picture(), picture()]})),
            "modify_image_ref must be one picture",
        ),
        (
            &luma::SPEC,
            options(json!({"character_ref": {"identity0": []}})),
            "character_ref must be like",
        ),
        (
            &luma::SPEC,
            json!({"model": "photon-9"}),
            "Unsupported model: photon-9",
        ),
        (
            &recraft::SPEC,
            options(json!({"style": "vector_illustration/line_art"})),
            "Vector pictures (SVG) are not supported",
        ),
        (
            &recraft::SPEC,
            options(json!({"style": "any", "style_id": "0c1f"})),
            "style and style_id cannot be given together",
        ),
        (
            &recraft::SPEC,
            options(json!({"controls": {"artistic_level": 6}})),
            "controls.artistic_level must be an integer between 0 and 5",
        ),
        (
            &recraft::SPEC,
            options(json!({"text_layout": "fox"})),
            "text_layout must be a list",
        ),
        (
            &recraft::SPEC,
            with(large()),
            "at most 10 MB and 16 megapixels",
        ),
        (
            &recraft::SPEC,
            with(pictures::png(8, 64)),
            "with sides of 32 to 4096 pixels",
        ),
        (
            &reve::SPEC,
            options(json!({"test_time_scaling": 16})),
            "test_time_scaling must be an integer between 1 and 15",
        ),
        (
            &reve::SPEC,
            options(json!({"postprocessing": [{"process": "melt"}]})),
            "postprocessing.process must be one of",
        ),
        (
            &reve::SPEC,
            options(json!({"postprocessing": [{"process": "upscale", "upscale_factor": 5}]})),
            "postprocessing.upscale_factor must be an integer",
        ),
        (
            &reve::SPEC,
            options(json!({"postprocessing": [{"process": "effect"}]})),
            "postprocessing.effect_name must be a text",
        ),
        (&reve::SPEC, with(gif()), "must be PNG, JPEG or WebP"),
        (
            &runway::SPEC,
            json!({"model": "runway-gen4-turbo"}),
            "Runway Gen-4 Turbo requires at least one reference image.",
        ),
        (
            &runway::SPEC,
            options(json!({"contentModeration": {"publicFigureThreshold": "off"}})),
            "publicFigureThreshold must be auto or low",
        ),
        (
            &runway::SPEC,
            json!({"references": [picture()], "providerOptions": {"referenceTags": ["2x"]}}),
            "referenceTags must be different words",
        ),
        (&runway::SPEC, with(gif()), "must be PNG, JPEG or WebP"),
    ]
}

/// Prompts that are too long or too short for a model, each with what is said to them.
#[tokio::test]
async fn each_model_has_its_own_bounds_of_a_prompt() {
    let cases = [
        (
            &luma::SPEC,
            json!({"prompt": "ox"}),
            "prompt must have 3 to 5000 characters",
        ),
        (
            &runway::SPEC,
            json!({"prompt": "x".repeat(1001)}),
            "longer than 1000 characters",
        ),
        // Two units of UTF-16 each.
        (
            &runway::SPEC,
            json!({"prompt": "🦊".repeat(501)}),
            "longer than 1000 characters",
        ),
        (
            &recraft::SPEC,
            json!({"prompt": "x".repeat(1001)}),
            "longer than 1000 characters",
        ),
        (
            &reve::SPEC,
            json!({"prompt": "x".repeat(2561)}),
            "longer than 2560 characters",
        ),
        (
            &reve::SPEC,
            json!({"prompt": "x".repeat(4001), "model": "reve-image-2"}),
            "longer than 4000 characters",
        ),
    ];
    let mut app = test_app();
    for account in ["luma", "recraft", "reve", "runway"] {
        app = app.set(&format!("/providers/{account}/api_key"), "a key");
    }
    app.run(async |app| {
        let user = app.user().await;
        for (spec, body, says) in cases {
            let answer = app.post(spec.path, Some(&user.token), body).await;
            assert_eq!(answer.status, 400, "{} {}", spec.path, answer.json);
            let message = answer.json["error"].as_str().unwrap_or_default();
            assert!(message.contains(says), "{}: {message}", spec.path);
        }
        for (spec, model) in [
            (&recraft::SPEC, "recraft-v4"),
            (&reve::SPEC, "reve-image-2"),
        ] {
            let body = json!({"prompt": "x".repeat(4000), "model": model});
            let answer = app.post(spec.path, Some(&user.token), body).await;
            assert_eq!(answer.status, 201, "{} {}", spec.path, answer.json);
        }
        assert_eq!(app.count("select count(*) from jobs").await, 2);
    })
    .await;
}
