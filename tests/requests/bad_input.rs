//! Bad input gets the right status and envelope, and nothing is written.

use reqwest::Method;
use serde_json::json;

use crate::support::{TestApp, pictures, snapshot::stable, test_app};

async fn assert_nothing_written(app: &TestApp) {
    for table in [
        "jobs",
        "job_events",
        "credit_reservations",
        "object_deletions",
        "apalis.jobs",
    ] {
        assert_eq!(
            app.count(&format!("select count(*) from {table}")).await,
            0,
            "{table}"
        );
    }
    assert!(app.bucket.keys("").is_empty());
}

#[tokio::test]
async fn bad_bodies_of_a_generation() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            let no_picture = "data:image/png;base64,aGVsbG8gd29ybGQ=";
            let cases = [
                ("no_prompt", json!({})),
                ("blank_prompt", json!({"prompt": "  \n "})),
                ("long_prompt", json!({"prompt": "x".repeat(4097)})),
                ("prompt_is_an_object", json!({"prompt": {"text": "a fox"}})),
                ("nul_in_prompt", json!({"prompt": "a\u{0}fox"})),
                (
                    "unknown_model",
                    json!({"prompt": "a fox", "model": "dall-e-9"}),
                ),
                ("blank_model", json!({"prompt": "a fox", "model": "  "})),
                (
                    "model_of_another_provider",
                    json!({"prompt": "a fox", "model": "ideogram"}),
                ),
                (
                    "options_are_a_list",
                    json!({"prompt": "a fox", "providerOptions": [1]}),
                ),
                (
                    "references_are_a_text",
                    json!({"prompt": "a fox", "references": "abc"}),
                ),
                (
                    "reference_is_a_number",
                    json!({"prompt": "a fox", "references": [1]}),
                ),
                (
                    "bad_base64",
                    json!({"prompt": "a fox", "references": ["%%%"]}),
                ),
                (
                    "bad_image_base64",
                    json!({"prompt": "a fox", "imageBase64": "data:image/png;base64,a"}),
                ),
                (
                    "no_picture",
                    json!({"prompt": "a fox", "references": [no_picture]}),
                ),
                (
                    "reference_on_loopback",
                    json!({"prompt": "a fox", "references": ["http://127.0.0.1:1/x.png"]}),
                ),
                (
                    "too_many_references",
                    json!({"prompt": "a fox", "references": vec!["x"; 15]}),
                ),
                (
                    "too_many_images",
                    json!({"prompt": "a fox", "num_images": 5}),
                ),
                (
                    "width_is_a_text",
                    json!({"prompt": "a fox", "providerOptions": {"width": "wide", "height": 64}}),
                ),
                (
                    "width_too_small",
                    json!({"prompt": "a fox", "providerOptions": {"width": 63, "height": 64}}),
                ),
                (
                    "height_too_large",
                    json!({"prompt": "a fox", "providerOptions": {"width": 64, "height": 2049}}),
                ),
                (
                    "bad_ratio",
                    json!({"prompt": "a fox", "providerOptions": {"aspect_ratio": "wide"}}),
                ),
                (
                    "temperature_too_high",
                    json!({"prompt": "a fox", "temperature": 2.5}),
                ),
                (
                    "temperature_is_a_text",
                    json!({"prompt": "a fox", "temperature": "hot"}),
                ),
                ("top_p_too_high", json!({"prompt": "a fox", "topP": 1.5})),
                (
                    "output_length_too_high",
                    json!({"prompt": "a fox", "outputLength": 8193}),
                ),
                (
                    "output_length_is_broken",
                    json!({"prompt": "a fox", "outputLength": 1.5}),
                ),
                (
                    "long_avatar_id",
                    json!({"prompt": "a fox", "avatarId": "a".repeat(256)}),
                ),
            ];
            for (name, body) in cases {
                let answer = app.post("/api/image/flux", Some(&user.token), body).await;
                assert_eq!(answer.status, 400, "{name}: {}", answer.json);
                insta::assert_json_snapshot!(name, stable(&answer, &[]));
            }
            assert_nothing_written(app).await;
            assert_eq!(app.credits(&user).await, 20);
        })
        .await;
}

#[tokio::test]
async fn bodies_that_are_no_json_or_too_large() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            let send = async |body: Vec<u8>, content_type: &str| {
                let request = app
                    .request(Method::POST, "/api/image/flux")
                    .bearer_auth(&user.token)
                    .header("content-type", content_type)
                    .body(body);
                app.send(request).await
            };
            let broken = send(b"{\"prompt\": \"a fox\",".to_vec(), "application/json").await;
            insta::assert_json_snapshot!("broken_json", stable(&broken, &[]));
            let scalar = send(b"\"a fox\"".to_vec(), "application/json").await;
            insta::assert_json_snapshot!("scalar_json", stable(&scalar, &[]));
            let not_utf8 = send(b"{\"prompt\": \"\xff\xfe\"}".to_vec(), "application/json").await;
            assert_eq!(not_utf8.status, 400);
            let deep = send("[".repeat(100_000).into_bytes(), "application/json").await;
            assert_eq!(deep.status, 400);
            let text = send(b"a fox".to_vec(), "text/plain").await;
            insta::assert_json_snapshot!("other_content_type", stable(&text, &[]));
            let mut huge = b"{\"prompt\": \"".to_vec();
            huge.resize(51 * 1024 * 1024, b'x');
            huge.extend_from_slice(b"\"}");
            let huge = send(huge, "application/json").await;
            insta::assert_json_snapshot!("too_large", stable(&huge, &[]));
            assert_nothing_written(app).await;
        })
        .await;
}

#[tokio::test]
async fn a_large_body_without_a_token_is_not_read() {
    test_app()
        .run(async |app| {
            let request = app
                .request(Method::POST, "/api/image/flux")
                .header("content-type", "application/json")
                .body(vec![b'x'; 1024]);
            assert_eq!(app.send(request).await.status, 401);
        })
        .await;
}

#[tokio::test]
async fn bad_ids_cursors_and_limits() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            for (name, method, path) in [
                ("job_id_is_none", Method::GET, "/api/jobs/nope"),
                (
                    "job_is_unknown",
                    Method::GET,
                    "/api/jobs/6f1b9a52-7a3e-4d5c-9b1f-0d2a3c4e5f60",
                ),
                ("job_limit", Method::GET, "/api/jobs?limit=many"),
                ("job_cursor", Method::GET, "/api/jobs?cursor=x"),
                ("file_limit", Method::GET, "/api/r2files?limit=many"),
                ("file_cursor", Method::GET, "/api/r2files?cursor=yesterday"),
                (
                    "file_is_unknown",
                    Method::DELETE,
                    "/api/r2files/6f1b9a52-7a3e-4d5c-9b1f-0d2a3c4e5f60",
                ),
                (
                    "public_file_unknown",
                    Method::GET,
                    "/files/generated-images/x/y.png",
                ),
                (
                    "public_file_outside",
                    Method::GET,
                    "/files/..%2f..%2fsecrets%2fjwt",
                ),
            ] {
                let answer = app.call(method, path, Some(&user.token), None).await;
                insta::assert_json_snapshot!(name, stable(&answer, &[]));
            }
        })
        .await;
}

#[tokio::test]
async fn an_image_job_by_name_wants_all_three_names() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            for (name, body) in [
                ("job_without_names", json!({})),
                ("job_of_unknown_provider", json!({"prompt": "a fox", "model": "x", "provider": "acme"})),
                ("job_of_wrong_pair", json!({"prompt": "a fox", "model": "ideogram", "provider": "flux"})),
            ] {
                let answer = app.post("/api/jobs/image-generation", Some(&user.token), body).await;
                insta::assert_json_snapshot!(name, stable(&answer, &[]));
            }
            assert_nothing_written(app).await;
            let body = json!({
                "prompt": "a fox", "model": "flux-1.1", "provider": "flux",
                "options": {"references": [pictures::data_url(8, 8)], "providerOptions": {"seed": 7}},
            });
            let answer = app.post("/api/jobs/image-generation", Some(&user.token), body).await;
            assert_eq!(answer.status, 201);
            let stored = "select count(*) from jobs where model = 'flux-pro-1.1' and input #>> '{options,seed}' = '7'";
            assert_eq!(app.count(stored).await, 1);
        })
        .await;
}

#[tokio::test]
async fn what_strangers_send_is_bounded() {
    test_app()
        .run(async |app| {
            let large = json!({"email": "a@example.com", "password": "x".repeat(300 * 1024)});
            for path in ["/api/auth/login", "/api/auth/oauth-callback"] {
                assert_eq!(
                    app.post(path, None, large.clone()).await.status,
                    413,
                    "{path}"
                );
            }
            let gotrue = app.post("/auth/v1/signup", None, large).await;
            insta::assert_json_snapshot!("gotrue_too_large", stable(&gotrue, &[]));
            let data = json!({"avatar": "x".repeat(5_000)});
            let body = json!({"email": "a@example.com", "password": "correct horse", "data": data});
            let metadata = app.post("/auth/v1/signup", None, body).await;
            insta::assert_json_snapshot!("gotrue_large_metadata", stable(&metadata, &[]));
            assert_eq!(app.count("select count(*) from users").await, 0);

            let user = app.user().await;
            let body =
                json!({"prompt": "a fox", "providerOptions": {"image_ref": "x".repeat(70_000)}});
            let options = app.post("/api/image/flux", Some(&user.token), body).await;
            insta::assert_json_snapshot!("large_options", stable(&options, &[]));
            assert_nothing_written(app).await;
        })
        .await;
}
