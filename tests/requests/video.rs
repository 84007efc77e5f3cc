//! `POST /api/video/<provider>`: what is taken and refused, and what the demo provider makes of it.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{pictures, test_app};

const CORPUS: &str = include_str!("../fixtures/ssrf_addresses.txt");

/// The bodies of the web client (client contract 4.5, generation contract 7), by provider.
fn bodies() -> Vec<(&'static str, Value)> {
    let frame = pictures::data_url(16, 16);
    let bare = frame.split_once(',').unwrap().1;
    vec![
        (
            "veo",
            json!({"prompt": "a fox", "model": "veo-3.0-generate-001", "providerOptions": {"aspect_ratio": "16:9"}}),
        ),
        (
            "runway",
            json!({"prompt": "a fox", "model": "gen4_turbo", "providerOptions": {"ratio": "1280:720", "duration": 5}}),
        ),
        (
            "luma",
            json!({"prompt": "a fox", "model": "luma-ray-2", "providerOptions": {"resolution": "720p", "duration_seconds": 5,
                "keyframes": {"frame0": {"type": "image", "url": frame}}}}),
        ),
        (
            "wan",
            json!({"prompt": "a fox", "model": "wan2.2-t2v-plus", "providerOptions": {"size": "1080*1920", "negative_prompt": "rain",
                "prompt_extend": true, "seed": 4, "watermark": false}}),
        ),
        (
            "hailuo",
            json!({"prompt": "a fox", "model": "hailuo-02", "providerOptions": {"duration": 6, "resolution": "768P",
                "prompt_optimizer": true, "watermark": false, "first_frame_base64": bare}}),
        ),
        (
            "kling",
            json!({"prompt": "a fox", "model": "kling-v2.1-master", "providerOptions": {"aspect_ratio": "1:1", "duration": 5,
                "mode": "standard"}}),
        ),
        (
            "seedance",
            json!({"prompt": "a fox", "model": "seedance-1.0-pro", "providerOptions": {"mode": "i2v-first", "ratio": "adaptive",
                "duration": 5, "resolution": "480p", "seed": -1, "firstFrameBase64": bare}}),
        ),
    ]
}

#[tokio::test]
async fn the_bodies_of_the_web_client_become_playable_videos() {
    test_app()
        .worker()
        .run(async |app| {
            let user = app.user().await;
            app.leave_credits(&user, 100).await;
            for (n, (provider, body)) in (1..).zip(bodies()) {
                let path = format!("/api/video/{provider}");
                let request = app.request(Method::POST, &path).bearer_auth(&user.token);
                let request = request.header("idempotency-key", provider).json(&body);
                let answer = app.send(request.try_clone().unwrap()).await;
                assert_eq!(answer.status, 201, "{provider}: {}", answer.json);
                let fields: Vec<_> = answer.json.as_object().unwrap().keys().collect();
                assert_eq!(fields, ["jobId"], "{provider}");
                let again = app.send(request).await;
                assert_eq!(
                    again.json, answer.json,
                    "{provider}: asked twice, made once"
                );
                assert_eq!(again.header("idempotency-replayed"), Some("true"));
                let id = answer.json["jobId"].as_str().unwrap();
                let job = app.final_job(&user, id).await;
                assert_eq!(job["status"], "COMPLETED", "{provider}: {job}");
                let url = job["resultUrl"].as_str().unwrap();
                assert_eq!(job["metadata"]["videoUrl"], url, "{provider}");
                let file = app.get(url.strip_prefix(&app.base).unwrap(), None).await;
                assert_eq!(file.header("content-type"), Some("video/mp4"));
                assert_eq!(file.bytes.get(4..8), Some(&b"ftyp"[..]), "{provider}");
                assert_eq!(app.credits(&user).await, 100 - 5 * n, "{provider}");
            }
            let shown = app.get("/api/r2files", Some(&user.token)).await.json;
            assert_eq!(shown["items"].as_array().unwrap().len(), 7);
            assert_eq!(shown["items"][0]["mimeType"], "video/mp4");
        })
        .await;
}

#[tokio::test]
async fn preferring_to_wait_gives_the_finished_video() {
    test_app()
        .worker()
        .run(async |app| {
            let user = app.user().await;
            let request = app.request(Method::POST, "/api/video/veo");
            let request = request.bearer_auth(&user.token).header("prefer", "wait=30");
            let body = json!({"prompt": "a fox", "providerOptions": {"duration": 4}});
            let answer = app.send(request.json(&body)).await;
            assert_eq!(answer.status, 201);
            assert_eq!(answer.json["job"]["status"], "COMPLETED", "{}", answer.json);
            let warnings = answer.json["job"]["metadata"]["warnings"].to_string();
            assert!(warnings.contains("demo video"), "{warnings}");
        })
        .await;
}

#[tokio::test]
async fn bad_requests_are_refused_before_anything_is_written() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            let frame = pictures::data_url(16, 16);
            for (provider, body, status, text) in [
                ("veo", json!({}), 400, "prompt must be a string"),
                ("veo", json!({"prompt": " "}), 400, "Prompt is required"),
                (
                    "veo",
                    json!({"prompt": "a fox", "model": "sora-2"}),
                    400,
                    "Unsupported model: sora-2",
                ),
                (
                    "luma",
                    json!({"prompt": "a fox", "model": "gen4_turbo"}),
                    400,
                    "Unsupported model: gen4_turbo",
                ),
                (
                    "kling",
                    json!({"prompt": "a fox", "providerOptions": {"image_tail": frame}}),
                    400,
                    "image_tail needs a first frame too.",
                ),
                (
                    "hailuo",
                    json!({"prompt": "a fox", "imageBase64": "bm8gcGljdHVyZQ=="}),
                    400,
                    "imageBase64 must be a PNG",
                ),
                (
                    "wan",
                    json!({"prompt": "a fox", "references": ["https://10.0.0.1/x.png"]}),
                    400,
                    "references.0 must be a public https address.",
                ),
                ("sora", json!({"prompt": "a fox"}), 404, ""),
            ] {
                let answer = app
                    .post(&format!("/api/video/{provider}"), Some(&user.token), body)
                    .await;
                assert_eq!(answer.status, status, "{provider}: {}", answer.json);
                let error = answer.json["error"].as_str().unwrap_or_default();
                assert!(error.contains(text), "{provider}: {error}");
            }
            assert_eq!(
                app.post("/api/video/veo", None, json!({"prompt": "a fox"}))
                    .await
                    .status,
                401
            );
            app.leave_credits(&user, 4).await;
            let answer = app
                .post(
                    "/api/video/veo",
                    Some(&user.token),
                    json!({"prompt": "a fox"}),
                )
                .await;
            assert_eq!(
                (answer.status, &answer.json["code"]),
                (402, &json!("INSUFFICIENT_CREDITS"))
            );
            assert_eq!(app.count("select count(*) from jobs").await, 0);
            assert!(app.bucket.keys("").is_empty());
        })
        .await;
}

#[tokio::test]
async fn without_keys_and_demo_every_route_names_its_key() {
    test_app()
        .set("/generation/demo", false)
        .run(async |app| {
            let user = app.user().await;
            for (provider, variable) in [
                ("veo", "GEMINI_API_KEY"),
                ("runway", "RUNWAY_API_KEY"),
                ("luma", "LUMAAI_API_KEY"),
                ("wan", "DASHSCOPE_API_KEY"),
                ("hailuo", "MINIMAX_API_KEY"),
                ("kling", "KLINGAI_API_KEY"),
                ("seedance", "ARK_API_KEY"),
            ] {
                let path = format!("/api/video/{provider}");
                let answer = app
                    .post(&path, Some(&user.token), json!({"prompt": "a fox"}))
                    .await;
                assert_eq!(answer.status, 503, "{provider}: {}", answer.json);
                assert_eq!(
                    answer.json["error"],
                    format!("{variable} is not configured")
                );
            }
            assert_eq!(app.count("select count(*) from jobs").await, 0);
        })
        .await;
}

/// The corpus that `net` is tested with, at the door: literals only, since names would be looked up.
#[tokio::test]
async fn no_forbidden_address_is_asked_for_a_frame() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    test_app()
        .run(async |app| {
            let user = app.user().await;
            let mut refused = 0;
            for line in CORPUS.lines().filter(|line| line.contains(" http")) {
                let address = line.split_once(' ').unwrap().1.replace("{port}", &port);
                let body = json!({"prompt": "a fox", "references": [address]});
                let answer = app.post("/api/video/veo", Some(&user.token), body).await;
                assert_eq!(answer.status, 400, "{line}: {}", answer.json);
                let error = answer.json["error"].as_str().unwrap();
                let is_refused = error == "references.0 must be a public https address.";
                assert!(is_refused || line.contains("https:\\"), "{line}: {error}");
                refused += 1;
            }
            assert!(refused >= 60, "{refused}");
        })
        .await;
    let heard = listener.accept();
    let own = tokio::net::TcpStream::connect(listener.local_addr().unwrap());
    let (heard, own) = tokio::join!(heard, own);
    let (peer, own) = (heard.unwrap().1, own.unwrap().local_addr().unwrap());
    assert_eq!(peer, own, "somebody else asked before");
}
