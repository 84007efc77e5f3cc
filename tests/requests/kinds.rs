//! `POST /api/jobs/video-generation` and `/api/jobs/image-upscale`: what is taken and refused.

use serde_json::{Value, json};

use crate::support::{TestApp, bfl::Bfl, pictures, snapshot::stable, test_app};

const VIDEO: &str = "/api/jobs/video-generation";
const UPSCALE: &str = "/api/jobs/image-upscale";

fn with(mut body: Value, name: &str, value: Value) -> Value {
    body[name] = value;
    body
}

async fn assert_nothing_written(app: &TestApp) {
    for table in [
        "jobs",
        "credit_reservations",
        "object_deletions",
        "apalis.jobs",
    ] {
        let sql = format!("select count(*) from {table}");
        assert_eq!(app.count(&sql).await, 0, "{table}");
    }
    assert!(app.bucket.keys("").is_empty());
}

#[tokio::test]
async fn bad_videos_are_refused_with_every_reason() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            let good = json!({"prompt": "a fox runs", "provider": "luma", "model": "luma-ray-2"});
            let cases = [
                ("video_of_nothing", json!({})),
                (
                    "video_of_blank_prompt",
                    with(good.clone(), "prompt", json!(" \n")),
                ),
                (
                    "video_of_long_prompt",
                    with(good.clone(), "prompt", json!("x".repeat(4097))),
                ),
                (
                    "video_of_unknown_provider",
                    with(good.clone(), "provider", json!("acme")),
                ),
                (
                    "video_of_an_image_provider",
                    with(good.clone(), "provider", json!("flux")),
                ),
                (
                    "video_of_wrong_pair",
                    with(good.clone(), "model", json!("hailuo-02")),
                ),
                (
                    "video_options_text",
                    with(good.clone(), "options", json!("x")),
                ),
                (
                    "video_of_wrong_addresses",
                    with(
                        good.clone(),
                        "imageUrls",
                        json!(["ftp://example.com/x", "https://example.com/y.png", "x"]),
                    ),
                ),
                (
                    "video_of_a_list_of_numbers",
                    with(good, "imageUrls", json!([1])),
                ),
            ];
            for (name, body) in cases {
                let answer = app.post(VIDEO, Some(&user.token), body).await;
                assert_eq!(answer.status, 400, "{name}: {}", answer.json);
                insta::assert_json_snapshot!(name, stable(&answer, &[]));
            }
            assert_eq!(app.post(VIDEO, None, json!({})).await.status, 401);
            assert_nothing_written(app).await;
        })
        .await;
}

#[tokio::test]
async fn a_video_without_a_provider_is_refused_at_the_door() {
    test_app()
        .set("/generation/demo", false)
        .run(async |app| {
            let user = app.user().await;
            for (provider, model) in [("luma", "luma-ray-2"), ("veo", "veo-3.0-generate-001")] {
                let body = json!({"prompt": "a fox runs", "provider": provider, "model": model});
                let answer = app.post(VIDEO, Some(&user.token), body).await;
                assert_eq!(answer.status, 503);
                insta::assert_json_snapshot!(
                    format!("video_{provider}_unavailable"),
                    stable(&answer, &[])
                );
            }
            assert_nothing_written(app).await;
            assert_eq!(app.credits(&user).await, 20);
        })
        .await;
}

#[tokio::test]
async fn bad_upscales_are_refused_with_every_reason() {
    let host = Bfl::start().await;
    test_app()
        .run(async |app| {
            let user = app.user().await;
            let good = json!({
                "imageUrl": format!("{}/delivery/x.png", host.base), "provider": "recraft",
                "model": "recraft-crisp-upscale",
            });
            let own_name = format!("{}/files/generated-images/{}/x-1.png", app.base, user.id);
            let cases = [
                ("upscale_of_nothing", json!({})),
                (
                    "upscale_of_no_address",
                    with(good.clone(), "imageUrl", json!("a fox")),
                ),
                (
                    "upscale_of_bytes",
                    with(good.clone(), "imageUrl", json!(pictures::data_url(8, 8))),
                ),
                // Loopback is for stand-ins only.
                ("upscale_of_loopback", good.clone()),
                (
                    "upscale_of_private",
                    with(good.clone(), "imageUrl", json!("https://10.0.0.1/x.png")),
                ),
                (
                    "upscale_of_a_file_that_is_not",
                    with(good.clone(), "imageUrl", json!(own_name)),
                ),
                ("upscale_by_3", with(good.clone(), "scale", json!(3))),
                (
                    "upscale_by_text",
                    with(good.clone(), "scale", json!("large")),
                ),
                (
                    "upscale_of_unknown_provider",
                    with(good.clone(), "provider", json!("luma")),
                ),
                (
                    "upscale_of_unknown_model",
                    with(good, "model", json!("recraft-v3")),
                ),
            ];
            for (name, body) in cases {
                let answer = app.post(UPSCALE, Some(&user.token), body).await;
                assert_eq!(answer.status, 400, "{name}: {}", answer.json);
                insta::assert_json_snapshot!(name, stable(&answer, &[]));
            }
            assert_eq!(app.post(UPSCALE, None, json!({})).await.status, 401);
            assert_nothing_written(app).await;
            assert_eq!(app.credits(&user).await, 20);
        })
        .await;
}

#[tokio::test]
async fn pictures_that_cannot_be_enlarged_are_refused() {
    let host = Bfl::start().await;
    test_app()
        .set("/generation/loopback_references", true)
        .run(async |app| {
            let user = app.user().await;
            let body = json!({
                "imageUrl": format!("{}/delivery/x.png", host.base), "provider": "recraft",
                "model": "recraft-crisp-upscale", "scale": 4,
            });
            for (name, bytes) in [
                ("upscale_of_no_picture", b"<html>hello</html>".to_vec()),
                ("upscale_too_large", pictures::png(1025, 1024)),
            ] {
                host.deliver(bytes);
                let answer = app.post(UPSCALE, Some(&user.token), body.clone()).await;
                assert_eq!(answer.status, 400, "{name}: {}", answer.json);
                insta::assert_json_snapshot!(name, stable(&answer, &[]));
            }
            app.leave_credits(&user, 1).await;
            let answer = app.post(UPSCALE, Some(&user.token), body).await;
            insta::assert_json_snapshot!("upscale_too_dear", stable(&answer, &[]));
            assert_nothing_written(app).await;
        })
        .await;
}

#[tokio::test]
async fn an_upscale_without_a_provider_is_refused_at_the_door() {
    test_app()
        .set("/generation/demo", false)
        .run(async |app| {
            let user = app.user().await;
            let body = json!({
                "imageUrl": "https://example.com/x.png", "provider": "recraft", "model": "recraft-crisp-upscale",
            });
            let answer = app.post(UPSCALE, Some(&user.token), body).await;
            insta::assert_json_snapshot!("upscale_unavailable", stable(&answer, &[]));
            assert_nothing_written(app).await;
        })
        .await;
}
