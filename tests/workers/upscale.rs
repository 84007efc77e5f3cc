//! Upscale jobs: the picture is really enlarged, stored and paid.

use image::{GenericImageView, ImageFormat};
use serde_json::{Value, json};

use crate::support::{TestApp, TestUser, bfl::Bfl, pictures, snapshot::redact, test_app};

async fn upscale(app: &TestApp, user: &TestUser, url: &str, scale: u32) -> (String, Value) {
    let body = json!({
        "imageUrl": url, "provider": "recraft", "model": "recraft-crisp-upscale", "scale": scale,
    });
    let path = "/api/jobs/image-upscale";
    let answer = app.post(path, Some(&user.token), body).await;
    assert_eq!(answer.status, 201, "{}", answer.json);
    let id = answer.json["jobId"].as_str().unwrap().to_owned();
    let job = app.final_job(user, &id).await;
    (id, job)
}

async fn result_of(app: &TestApp, job: &Value) -> Vec<u8> {
    let url = job["resultUrl"].as_str().unwrap();
    let path = url.strip_prefix(&app.base).unwrap();
    app.get(path, None).await.bytes
}

#[tokio::test]
async fn a_picture_of_the_gallery_is_enlarged() {
    test_app()
        .worker()
        .run(async |app| {
            let user = app.user().await;
            let body = json!({"prompt": "a fox", "providerOptions": {"width": 96, "height": 64}});
            let source = app.generate(&user, body).await;
            let source = app.final_job(&user, &source).await;
            let source_url = source["resultUrl"].as_str().unwrap();
            let (id, job) = upscale(app, &user, source_url, 4).await;
            let file = job["metadata"]["r2FileId"].as_str().unwrap().to_owned();
            let known = [
                (source_url, "source"),
                (app.base.as_str(), "base"),
                (user.id.as_str(), "user"),
                (id.as_str(), "job"),
                (file.as_str(), "file"),
            ];
            insta::assert_json_snapshot!("completed_upscale", redact(&job, &known));
            let small = image::load_from_memory(&result_of(app, &source).await).unwrap();
            let large = image::load_from_memory(&result_of(app, &job).await).unwrap();
            assert_eq!((large.width(), large.height()), (384, 256));
            // Away from edges the enlarged picture shows what the small one does.
            let close = (8..88)
                .flat_map(|x| (8..56).map(move |y| (x, y)))
                .filter(|(x, y)| {
                    let (a, b) = (small.get_pixel(*x, *y).0, large.get_pixel(x * 4 + 2, y * 4 + 2).0);
                    a.iter().zip(b).all(|(a, b)| a.abs_diff(b) < 40)
                })
                .count();
            assert!(close > 80 * 48 * 8 / 10, "{close} of {} are alike", 80 * 48);
            assert_eq!(app.credits(&user).await, 20 - 1 - 2);
            let usage = "select count(*) from usage_events where cost = 2 and prompt like 'Upscale http%'
                         and provider = 'recraft' and model = 'recraft-crisp-upscale'";
            assert_eq!(app.count(usage).await, 1);
            app.until("inputs to go", || async { app.bucket.keys("inputs").is_empty().then_some(()) }).await;
            let gallery = "select count(*) from r2_files where object_key like 'upscaled/%' and deleted_at is null";
            assert_eq!(app.count(gallery).await, 1);
        })
        .await;
}

#[tokio::test]
async fn a_picture_elsewhere_is_fetched_and_keeps_its_type() {
    let host = Bfl::start().await;
    let mut jpeg = Vec::new();
    image::load_from_memory(&pictures::png(40, 30))
        .unwrap()
        .to_rgb8()
        .write_to(&mut std::io::Cursor::new(&mut jpeg), ImageFormat::Jpeg)
        .unwrap();
    host.deliver(jpeg);
    test_app()
        .worker()
        .set("/generation/loopback_references", true)
        .run(async |app| {
            let user = app.user().await;
            let url = format!("{}/delivery/x.jpg?signature=secret", host.base);
            let (_, job) = upscale(app, &user, &url, 2).await;
            assert_eq!(job["status"], "COMPLETED", "{job}");
            assert_eq!(job["metadata"]["mimeType"], "image/jpeg");
            assert!(!job.to_string().contains("secret"), "{job}");
            let bytes = result_of(app, &job).await;
            assert_eq!(image::guess_format(&bytes).unwrap(), ImageFormat::Jpeg);
            let large = image::load_from_memory(&bytes).unwrap();
            assert_eq!((large.width(), large.height()), (80, 60));
        })
        .await;
}

#[tokio::test]
async fn somebody_elses_picture_is_not_taken_from_the_bucket() {
    test_app()
        .worker()
        .run(async |app| {
            let (user, other) = (app.user().await, app.user().await);
            let body = json!({"prompt": "a fox", "providerOptions": {"width": 64, "height": 64}});
            let source = app.generate(&other, body).await;
            let source = app.final_job(&other, &source).await;
            let body = json!({
                "imageUrl": source["resultUrl"], "provider": "recraft", "model": "recraft-crisp-upscale",
            });
            let answer = app.post("/api/jobs/image-upscale", Some(&user.token), body).await;
            assert_eq!(answer.status, 400, "{}", answer.json);
            assert_eq!(app.credits(&user).await, 20);
        })
        .await;
}

#[tokio::test]
async fn what_an_upscaler_would_refuse_is_refused_at_the_door() {
    let host = Bfl::start().await;
    let gif =
        b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";
    let runway = ("runway", "magnific-precision-upscaler-v2");
    let cases = [
        (
            runway,
            pictures::png(200, 400),
            2,
            json!({}),
            "sides of 300 to 8000 pixels",
        ),
        (
            runway,
            pictures::png(2600, 700),
            4,
            json!({}),
            "at most 25.3 megapixels",
        ),
        (
            runway,
            gif.to_vec(),
            2,
            json!({}),
            "must be PNG, JPEG or WebP",
        ),
        (
            runway,
            pictures::png(400, 400),
            2,
            json!({"flavor": "oil"}),
            "flavor must be one of",
        ),
        (
            runway,
            pictures::png(400, 400),
            2,
            json!({"sharpen": 101}),
            "sharpen must be an integer",
        ),
        (
            ("recraft", "recraft-crisp-upscale"),
            pictures::png(16, 400),
            2,
            json!({}),
            "sides of 32 to 4096",
        ),
        (
            ("recraft", "recraft-creative-upscale"),
            pictures::png(200, 400),
            2,
            json!({}),
            "sides of 256 to 4096",
        ),
        (
            ("reve", "reve-upscale"),
            gif.to_vec(),
            2,
            json!({}),
            "must be PNG, JPEG or WebP",
        ),
        (
            ("reve", "recraft-crisp-upscale"),
            pictures::png(400, 400),
            2,
            json!({}),
            "Unsupported model",
        ),
    ];
    let mut app = test_app().set("/generation/loopback_references", true);
    for account in ["runway", "recraft", "reve"] {
        app = app.set(&format!("/providers/{account}/api_key"), "a key");
    }
    app.run(async |app| {
        let user = app.user().await;
        for ((provider, model), picture, scale, options, says) in cases {
            host.deliver(picture);
            let body = json!({
                "imageUrl": format!("{}/delivery/x", host.base), "provider": provider, "model": model,
                "scale": scale, "options": options,
            });
            let answer = app.post("/api/jobs/image-upscale", Some(&user.token), body).await;
            assert_eq!(answer.status, 400, "{provider}: {}", answer.json);
            let message = answer.json["error"].as_str().unwrap_or_default();
            assert!(message.contains(says), "{provider}: {message}");
        }
        assert_eq!(app.count("select count(*) from jobs").await, 0);
        assert_eq!(app.credits(&user).await, 20);
    })
    .await;
}
