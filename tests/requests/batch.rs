//! `POST /api/jobs/batch-generation`: what is taken, what is refused, what is held.

use serde_json::{Value, json};

use crate::support::{TestApp, pictures, snapshot::stable, test_app};

const PATH: &str = "/api/jobs/batch-generation";

fn body(prompts: Value) -> Value {
    json!({"prompts": prompts, "provider": "flux", "model": "flux-pro-1.1"})
}

fn with(mut body: Value, name: &str, value: Value) -> Value {
    body[name] = value;
    body
}

async fn assert_nothing_written(app: &TestApp) {
    for table in ["jobs", "job_items", "credit_reservations", "apalis.jobs"] {
        let sql = format!("select count(*) from {table}");
        assert_eq!(app.count(&sql).await, 0, "{table}");
    }
    assert!(app.bucket.keys("").is_empty());
}

#[tokio::test]
async fn a_batch_is_one_job_with_an_item_and_a_credit_for_each_prompt() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            let options = json!({
                "references": [pictures::data_url(8, 8)],
                "avatarId": "avatar-1",
                "providerOptions": {"width": 320, "height": 192},
            });
            let body = with(body(json!(["  a fox  ", "a hare", "a fox"])), "options", options);
            let answer = app.post(PATH, Some(&user.token), body).await;
            assert_eq!(answer.status, 201, "{}", answer.json);
            assert_eq!(answer.json.as_object().unwrap().len(), 1);
            let id = answer.json["jobId"].as_str().unwrap();
            let job = app.job(&user, id).await;
            insta::assert_json_snapshot!("admitted_batch", crate::support::snapshot::redact(&job, &[(id, "job")]));
            assert_eq!(app.credits(&user).await, 17);
            let held = "select count(*) from credit_reservations where amount = 3 and state = 'held'";
            assert_eq!(app.count(held).await, 1);
            let items = "select count(*) from job_items where status = 'PENDING' and tries = 0
                         and prompt = (array['a fox', 'a hare', 'a fox'])[position + 1]";
            assert_eq!(app.count(items).await, 3);
            let deliveries = "select count(*) from apalis.jobs where job_type = 'batch-generation-queue'";
            assert_eq!(app.count(deliveries).await, 1);
            assert_eq!(app.bucket.keys("inputs").len(), 1, "what all prompts share is stored once");
            let stored = "select count(*) from jobs where type = 'BATCH_GENERATION' and input ->> 'batchSize' = '5'";
            assert_eq!(app.count(stored).await, 1, "five at the same time unless asked otherwise");
        })
        .await;
}

#[tokio::test]
async fn bad_batches_are_refused_with_every_reason() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            let good = body(json!(["a fox"]));
            let cases = [
                ("batch_of_nothing", json!({})),
                ("batch_without_prompts", body(json!([]))),
                ("batch_of_a_text", body(json!("a fox"))),
                ("batch_of_21", body(json!(vec!["a fox"; 21]))),
                (
                    "batch_with_wrong_prompts",
                    body(json!(["a fox", "  ", 7, "x".repeat(4097), null])),
                ),
                ("batch_with_nul", body(json!(["a fox", "a\u{0}hare"]))),
                ("batch_size_0", with(good.clone(), "batchSize", json!(0))),
                ("batch_size_11", with(good.clone(), "batchSize", json!(11))),
                (
                    "batch_size_minus_1",
                    with(good.clone(), "batchSize", json!(-1)),
                ),
                (
                    "batch_size_half",
                    with(good.clone(), "batchSize", json!(2.5)),
                ),
                (
                    "batch_size_text",
                    with(good.clone(), "batchSize", json!("many")),
                ),
                (
                    "batch_options_list",
                    with(good.clone(), "options", json!([1])),
                ),
                (
                    "batch_of_several_each",
                    with(good.clone(), "options", json!({"n": 2})),
                ),
                (
                    "batch_with_bad_width",
                    with(
                        good.clone(),
                        "options",
                        json!({"providerOptions": {"width": 1}}),
                    ),
                ),
                (
                    "batch_with_bad_reference",
                    with(good.clone(), "options", json!({"references": ["%%%"]})),
                ),
                (
                    "batch_of_unknown_provider",
                    with(good.clone(), "provider", json!("acme")),
                ),
                (
                    "batch_of_unknown_model",
                    with(good.clone(), "model", json!("flux-9")),
                ),
                (
                    "batch_of_wrong_pair",
                    with(good.clone(), "model", json!("ideogram")),
                ),
                ("batch_of_blank_model", with(good, "model", json!("  "))),
            ];
            for (name, body) in cases {
                let answer = app.post(PATH, Some(&user.token), body).await;
                assert_eq!(answer.status, 400, "{name}: {}", answer.json);
                insta::assert_json_snapshot!(name, stable(&answer, &[]));
            }
            assert_eq!(app.post(PATH, None, json!({})).await.status, 401);
            assert_nothing_written(app).await;
            assert_eq!(app.credits(&user).await, 20);
        })
        .await;
}

#[tokio::test]
async fn a_batch_that_is_too_dear_is_refused_whole() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            app.leave_credits(&user, 2).await;
            let prompts = json!(["a fox", "a hare", "an owl"]);
            let answer = app.post(PATH, Some(&user.token), body(prompts)).await;
            insta::assert_json_snapshot!("batch_too_dear", stable(&answer, &[]));
            assert_nothing_written(app).await;
            assert_eq!(app.credits(&user).await, 2);
        })
        .await;
}

#[tokio::test]
async fn a_batch_waits_in_the_queue_limit_as_one_job() {
    test_app()
        .set("/jobs/max_queued_per_user", 1)
        .run(async |app| {
            let user = app.user().await;
            app.batch(&user, &["a fox", "a hare"], 2).await;
            let answer = app
                .post(PATH, Some(&user.token), body(json!(["an owl"])))
                .await;
            assert_eq!(answer.status, 429, "{}", answer.json);
            assert_eq!(app.count("select count(*) from job_items").await, 2);
            assert_eq!(app.credits(&user).await, 18);
        })
        .await;
}

#[tokio::test]
async fn without_a_key_and_without_the_demo_a_batch_is_refused_at_the_door() {
    test_app()
        .set("/generation/demo", false)
        .run(async |app| {
            let user = app.user().await;
            let answer = app
                .post(PATH, Some(&user.token), body(json!(["a fox"])))
                .await;
            assert_eq!(answer.status, 503, "{}", answer.json);
            assert_nothing_written(app).await;
        })
        .await;
}

#[tokio::test]
async fn a_batch_asked_for_twice_with_one_key_is_one_batch() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            let send = async || {
                let request = app
                    .request(reqwest::Method::POST, PATH)
                    .bearer_auth(&user.token)
                    .header("idempotency-key", "batch-1")
                    .json(&body(json!(["a fox", "a hare"])));
                app.send(request).await
            };
            let (first, again) = (send().await, send().await);
            assert_eq!((first.status, again.status), (201, 201), "{}", again.json);
            assert_eq!(first.json, again.json);
            assert_eq!(app.count("select count(*) from job_items").await, 2);
            assert_eq!(app.credits(&user).await, 18);
        })
        .await;
}
