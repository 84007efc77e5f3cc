//! Scenes: templates, the form with its refusals, jobs through the demo provider and through Ideogram.

use reqwest::multipart::{Form, Part};
use serde_json::json;

use crate::support::{
    Answer, TestApp, TestUser, pictures,
    snapshot::{redact, stable},
    test_app,
    upstream::{Reply, Script, Upstream},
};

const PATH: &str = "/api/scene/generate";

fn part(bytes: Vec<u8>, mime: &str) -> Part {
    Part::bytes(bytes)
        .file_name("me.png")
        .mime_str(mime)
        .unwrap()
}

fn person() -> Part {
    part(pictures::png(32, 48), "image/png")
}

async fn send(app: &TestApp, user: &TestUser, form: Form, key: Option<&str>) -> Answer {
    let mut request = app
        .request(reqwest::Method::POST, PATH)
        .bearer_auth(&user.token)
        .multipart(form);
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    app.send(request).await
}

#[tokio::test]
async fn a_person_is_put_into_a_scene() {
    test_app()
        .worker()
        .run(async |app| {
            let user = app.user().await;
            let answer = app.get("/api/scene/templates", Some(&user.token)).await;
            insta::assert_json_snapshot!("templates", stable(&answer, &[(app.base.as_str(), "base")]));
            let preview = answer.json["templates"][0]["previewUrl"].as_str().unwrap();
            let preview = app.get(preview.strip_prefix(&app.base).unwrap(), None).await;
            assert_eq!(preview.header("content-type"), Some("image/jpeg"));
            let picture = image::load_from_memory(&preview.bytes).unwrap();
            assert!(picture.width() > picture.height(), "16x9");

            // As the web client sends it.
            let form = || {
                Form::new()
                    .text("styleOptionId", "female-lifestyle-french-balcony")
                    .text("styleType", "AUTO")
                    .part("characterImage", person())
            };
            let answer = send(app, &user, form(), Some("once")).await;
            assert_eq!(answer.status, 201, "{}", answer.json);
            let id = answer.json["jobId"].as_str().unwrap().to_owned();
            let again = send(app, &user, form(), Some("once")).await;
            assert_eq!(again.json["jobId"], answer.json["jobId"]);
            assert_eq!(again.header("idempotency-replayed"), Some("true"));
            let other = send(app, &user, form().text("personalizationNote", "rain"), Some("once")).await;
            assert_eq!(other.status, 422);

            let job = app.final_job(&user, &id).await;
            let file = job["metadata"]["r2FileId"].as_str().unwrap().to_owned();
            let known = [
                (app.base.as_str(), "base"),
                (id.as_str(), "job id"),
                (file.as_str(), "file id"),
                (user.id.as_str(), "user id"),
            ];
            insta::assert_json_snapshot!("scene_done", redact(&job, &known));
            let path = job["resultUrl"].as_str().unwrap().strip_prefix(&app.base).unwrap();
            let result = image::load_from_memory(&app.get(path, None).await.bytes).unwrap();
            assert!(result.width() < result.height(), "4x5");
            assert_eq!(app.credits(&user).await, 19);

            let form = Form::new()
                .text("sceneTemplateId", "moon-landing")
                .text("styleOptionId", "nobody asks for this one")
                .text("stylePreset", "EDITORIAL")
                .text("renderingSpeed", "TURBO")
                .text("characterFocus", "portrait")
                .text("personalizationNote", " with a small flag ")
                .part("characterImage", part(pictures::png(32, 48), "IMAGE/PNG"));
            let answer = send(app, &user, form, None).await;
            let id = answer.json["jobId"].as_str().unwrap().to_owned();
            assert_eq!(app.final_job(&user, &id).await["status"], "COMPLETED");
            let input = "select (input->>'prompt') || ' ' || (input->'options')::text from jobs order by created_at desc limit 1";
            let input: String = sqlx::query_scalar(input)
                .fetch_one(app.ctx.db.get_postgres_connection_pool())
                .await
                .unwrap();
            insta::assert_snapshot!("scene_input", input);
            app.until("inputs to go", || async { app.bucket.keys("inputs").is_empty().then_some(()) })
                .await;
        })
        .await;
}

#[tokio::test]
async fn bad_scenes_are_refused_and_nothing_is_written() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            let style = || Form::new().text("sceneTemplateId", "fantasy-castle");
            let large = part(vec![7; 12 * 1024 * 1024 + 1], "image/png");
            let cases = [
                ("no_picture", style()),
                (
                    "empty_picture",
                    style().part("characterImage", part(Vec::new(), "image/png")),
                ),
                ("another_field", style().part("photo", person())),
                (
                    "no_image",
                    style().part("characterImage", part(b"%PDF".to_vec(), "application/pdf")),
                ),
                (
                    "gif",
                    style().part("characterImage", part(b"GIF89a".to_vec(), "image/gif")),
                ),
                (
                    "not_what_it_says",
                    style().part("characterImage", part(b"<svg>".to_vec(), "image/png")),
                ),
                ("too_large", style().part("characterImage", large)),
                (
                    "nothing_chosen",
                    Form::new().part("characterImage", person()),
                ),
                (
                    "unknown_template",
                    Form::new()
                        .text("sceneTemplateId", "x")
                        .part("characterImage", person()),
                ),
                (
                    "unknown_style",
                    Form::new()
                        .text("styleOptionId", "x")
                        .part("characterImage", person()),
                ),
                (
                    "every_rule",
                    Form::new()
                        .text("sceneTemplateId", "x".repeat(65))
                        .text("personalizationNote", "x".repeat(281))
                        .text("renderingSpeed", "FAST")
                        .text("characterFocus", "round")
                        .text("styleType", "REAL")
                        .part("characterImage", person()),
                ),
            ];
            for (name, form) in cases {
                let answer = send(app, &user, form, None).await;
                insta::assert_json_snapshot!(format!("scene_{name}"), stable(&answer, &[]));
            }
            let json = app
                .post(
                    PATH,
                    Some(&user.token),
                    json!({"sceneTemplateId": "moon-landing"}),
                )
                .await;
            assert_eq!(
                (json.status, &json.json["message"]),
                (400, &json!("A character image upload is required."))
            );
            assert_eq!(app.post(PATH, None, json!({})).await.status, 401);
            assert_eq!(app.get("/api/scene/templates", None).await.status, 401);
            app.leave_credits(&user, 0).await;
            let poor = send(app, &user, style().part("characterImage", person()), None).await;
            assert_eq!(poor.status, 402);
            assert_eq!(app.count("select count(*) from jobs").await, 0);
            assert!(app.bucket.keys("inputs").is_empty());
        })
        .await;
}

/// Pictures at a configured address; the ones of this service are not drawn then.
#[tokio::test]
async fn base_images_come_from_where_the_settings_say() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/scenes", listener.local_addr().unwrap());
    let app = axum::Router::new().route(
        "/scenes/moon-landing-base.png",
        axum::routing::get(|| async { pictures::png(40, 60) }),
    );
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    test_app()
        .worker()
        .set("/generation/scene_images_url", base.as_str())
        .run(async |app| {
            let user = app.user().await;
            let templates = app
                .get("/api/scene/templates", Some(&user.token))
                .await
                .json;
            let preview = templates["templates"][1]["previewUrl"].as_str().unwrap();
            assert_eq!(preview, format!("{base}/moon-landing-preview.jpg"));
            let form = |id: &'static str| {
                Form::new()
                    .text("sceneTemplateId", id)
                    .part("characterImage", person())
            };
            let answer = send(app, &user, form("moon-landing"), None).await;
            let id = answer.json["jobId"].as_str().unwrap().to_owned();
            assert_eq!(app.final_job(&user, &id).await["status"], "COMPLETED");
            let missing = send(app, &user, form("fantasy-castle"), None).await;
            insta::assert_json_snapshot!("scene_no_base_image", stable(&missing, &[]));
            assert_eq!(app.credits(&user).await, 19);
        })
        .await;
}

/// With its key, Ideogram remixes the base image with the person; what it refuses costs nothing.
#[tokio::test]
async fn a_scene_goes_to_the_provider_with_both_pictures() {
    let upstream = Upstream::start(crate::providers::ideogram::SPEC.api).await;
    let refused = Reply::Fixture("moderated_prompt".to_owned());
    upstream.script(1, "submit", Script::always(refused));
    test_app()
        .worker()
        .upstream(&upstream)
        .run(async |app| {
            let user = app.user().await;
            let ask = async |case: usize| {
                let form = Form::new()
                    .text("styleOptionId", "female-lifestyle-sun-and-sea")
                    .text("styleType", "AUTO")
                    .text("personalizationNote", format!("[case {case}]"))
                    .part("characterImage", person());
                let answer = send(app, &user, form, None).await;
                let id = answer.json["jobId"].as_str().unwrap().to_owned();
                app.final_job(&user, &id).await
            };
            let job = ask(0).await;
            assert_eq!(job["status"], "COMPLETED", "{job}");
            assert_eq!(job["metadata"]["template"]["id"], "preset-sun-and-sea");
            let calls = upstream.calls(0, "submit");
            assert_eq!(calls.len(), 1);
            // What is in the form is a snapshot of the provider's suite.
            assert_eq!(calls[0].path, "/v1/ideogram-v3/remix");
            let person = pictures::png(32, 48);
            let body = &calls[0].body;
            assert!(body.windows(person.len()).any(|window| window == person));
            assert_eq!(ask(1).await["status"], "FAILED");
            assert_eq!(upstream.calls(1, "submit").len(), 1);
            assert_eq!(app.credits(&user).await, 19);
        })
        .await;
}
