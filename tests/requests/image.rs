//! `/api/image/*`: every provider's route, credits at the door, limits.

use serde_json::json;

use crate::support::{pictures, snapshot::stable, test_app};

/// The bodies that the web client sends (client contract 4.4).
fn client_bodies() -> Vec<(&'static str, serde_json::Value)> {
    let reference = pictures::data_url(8, 8);
    vec![
        (
            "gemini",
            json!({
                "prompt": "a fox", "model": "gemini-2.5-flash-image", "mimeType": "image/png", "temperature": 1,
                "outputLength": 8192, "topP": 1, "providerOptions": {"aspectRatio": "1:1"},
                "config": {"imageConfig": {"aspectRatio": "1:1"}}, "references": [reference],
            }),
        ),
        (
            "flux",
            json!({"prompt": "a fox", "model": "flux-pro-1.1", "references": [], "providerOptions": {}}),
        ),
        (
            "reve",
            json!({
                "prompt": "a fox", "model": "reve-image-1.0", "references": [],
                "providerOptions": {"width": 1024, "height": 1024},
            }),
        ),
        (
            "ideogram",
            json!({
                "prompt": "a fox", "model": "ideogram",
                "providerOptions": {"aspect_ratio": "1:1", "rendering_speed": "DEFAULT", "num_images": 1},
            }),
        ),
        (
            "qwen",
            json!({
                "prompt": "a fox", "model": "qwen-image",
                "providerOptions": {"size": "1328*1328", "prompt_extend": true, "watermark": false},
            }),
        ),
        (
            "grok",
            json!({
                "prompt": "a fox", "model": "grok-2-image", "providerOptions": {"response_format": "b64_json"},
            }),
        ),
        (
            "runway",
            json!({
                "prompt": "a fox", "model": "gen4_image", "references": [], "providerOptions": {"ratio": "1920:1080"},
            }),
        ),
        (
            "chatgpt",
            json!({
                "prompt": "a fox", "n": 1, "size": "1024x1024", "quality": "high", "background": "transparent",
                "model": "chatgpt-image", "avatarId": "avatar-1", "styleId": "style-1",
            }),
        ),
        (
            "luma",
            json!({
                "prompt": "a fox", "model": "luma-photon-1", "providerOptions": {"aspect_ratio": "1:1"},
            }),
        ),
        ("seedream", json!({"prompt": "a fox"})),
        ("recraft", json!({"prompt": "a fox", "model": "recraft"})),
    ]
}

#[tokio::test]
async fn every_route_takes_the_clients_body_and_stores_what_was_meant() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            let mut stored = Vec::new();
            for (path, body) in client_bodies() {
                let answer = app
                    .post(&format!("/api/image/{path}"), Some(&user.token), body)
                    .await;
                assert_eq!(answer.status, 201, "{path}: {}", answer.json);
                let id = answer.json["jobId"].as_str().unwrap();
                assert_eq!(answer.json.as_object().unwrap().len(), 1, "{path}");
                let job = app.job(&user, id).await;
                assert_eq!(job["status"], "PENDING");
                stored.push(job["metadata"].clone());
            }
            insta::assert_json_snapshot!("metadata_of_client_bodies", stored);
            assert_eq!(app.credits(&user).await, 20 - 11);
        })
        .await;
}

#[tokio::test]
async fn too_few_credits_are_told_and_nothing_is_written() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            app.leave_credits(&user, 0).await;
            let body = json!({"prompt": "a fox"});
            let answer = app.post("/api/image/flux", Some(&user.token), body).await;
            insta::assert_json_snapshot!("insufficient_credits", stable(&answer, &[]));
            let body = json!({"prompt": "a fox", "references": [pictures::data_url(8, 8)]});
            let answer = app.post("/api/image/flux", Some(&user.token), body).await;
            assert_eq!(answer.status, 402);
            assert!(app.bucket.keys("").is_empty(), "no reference was uploaded");
            assert_eq!(app.count("select count(*) from jobs").await, 0);
        })
        .await;
}

#[tokio::test]
async fn fifty_requests_on_ten_credits_admit_exactly_ten() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            app.leave_credits(&user, 10).await;
            let answers = futures_util::future::join_all((0..50).map(|_| {
                app.post(
                    "/api/image/flux",
                    Some(&user.token),
                    json!({"prompt": "a fox"}),
                )
            }))
            .await;
            let admitted = answers.iter().filter(|answer| answer.status == 201).count();
            let refused = answers.iter().filter(|answer| answer.status == 402).count();
            assert_eq!((admitted, refused), (10, 40));
            assert_eq!(app.count("select count(*) from jobs").await, 10);
            assert_eq!(app.count("select count(*) from apalis.jobs").await, 10);
            assert_eq!(app.credits(&user).await, 0);
        })
        .await;
}

#[tokio::test]
async fn the_grace_lets_the_balance_go_below_zero_so_far_and_no_further() {
    test_app()
        .set("/credits/grace", 2)
        .run(async |app| {
            let user = app.user().await;
            app.leave_credits(&user, 1).await;
            let mut statuses = Vec::new();
            for _ in 0..4 {
                let body = json!({"prompt": "a fox"});
                statuses.push(
                    app.post("/api/image/flux", Some(&user.token), body)
                        .await
                        .status,
                );
            }
            assert_eq!(statuses, [201, 201, 201, 402]);
            assert_eq!(app.credits(&user).await, -2);
        })
        .await;
}

#[tokio::test]
async fn a_full_queue_is_told_before_anything_is_created() {
    test_app()
        .set("/jobs/max_queued_per_user", 2)
        .run(async |app| {
            let user = app.user().await;
            for _ in 0..2 {
                app.generate(&user, json!({"prompt": "a fox"})).await;
            }
            let answer = app
                .post(
                    "/api/image/flux",
                    Some(&user.token),
                    json!({"prompt": "a fox"}),
                )
                .await;
            assert_eq!(answer.header("retry-after"), Some("10"));
            insta::assert_json_snapshot!("queue_full", stable(&answer, &[]));
            assert_eq!(app.credits(&user).await, 18);
            assert_eq!(
                app.count("select count(*) from credit_reservations").await,
                2
            );
        })
        .await;
}

#[tokio::test]
async fn several_pictures_are_held_for_and_charged_one_by_one() {
    test_app()
        .worker()
        .run(async |app| {
            let user = app.user().await;
            let body = json!({"prompt": "a fox", "providerOptions": {"num_images": 3, "width": 64, "height": 96}});
            let id = app.generate(&user, body).await;
            let job = app.final_job(&user, &id).await;
            assert_eq!(job["status"], "COMPLETED", "{job}");
            assert_eq!(job["metadata"]["results"].as_array().unwrap().len(), 3);
            assert_eq!(app.credits(&user).await, 17);
            assert_eq!(app.count("select count(*) from r2_files").await, 3);
        })
        .await;
}

#[tokio::test]
async fn without_a_key_and_without_the_demo_a_route_refuses_at_the_door() {
    test_app()
        .set("/generation/demo", false)
        .run(async |app| {
            let user = app.user().await;
            let answer = app
                .post(
                    "/api/image/flux",
                    Some(&user.token),
                    json!({"prompt": "a fox"}),
                )
                .await;
            insta::assert_json_snapshot!("provider_not_configured", stable(&answer, &[]));
            assert_eq!(app.count("select count(*) from jobs").await, 0);
            assert_eq!(app.credits(&user).await, 20);
        })
        .await;
}

#[tokio::test]
async fn the_retired_route_says_where_to_go() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            let answer = app
                .post(
                    "/api/unified-generate",
                    Some(&user.token),
                    json!({"prompt": "x"}),
                )
                .await;
            insta::assert_json_snapshot!("unified_generate", stable(&answer, &[]));
            assert_eq!(
                app.post("/api/unified-generate", None, json!({}))
                    .await
                    .status,
                401
            );
        })
        .await;
}

#[tokio::test]
async fn storage_that_is_away_is_a_bad_gateway_and_costs_nothing() {
    test_app()
        .set("/storage/endpoint", "http://127.0.0.1:9")
        .set("/storage/attempts", 1)
        .run(async |app| {
            let user = app.user().await;
            let body = json!({"prompt": "a fox", "references": [pictures::data_url(8, 8)]});
            let answer = app.post("/api/image/flux", Some(&user.token), body).await;
            insta::assert_json_snapshot!("storage_away", stable(&answer, &[]));
            assert_eq!(app.count("select count(*) from jobs").await, 0);
            assert_eq!(app.credits(&user).await, 20);
        })
        .await;
}
