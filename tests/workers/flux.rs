//! FLUX against the stand-in of its API: what goes out, and what comes of each answer.

use serde_json::json;

use crate::support::{bfl::Bfl, pictures, snapshot::redact, test_app};

#[tokio::test]
async fn requests_go_out_as_the_api_wants_them() {
    let bfl = Bfl::start().await;
    test_app()
        .worker()
        .flux(&bfl)
        .run(async |app| {
            let user = app.user().await;
            let reference = pictures::data_url(8, 8);
            let base64 = reference.split_once(',').unwrap().1.to_owned();
            let bodies = [
                json!({"prompt": "plain"}),
                json!({"prompt": "sized", "providerOptions": {"width": 770, "height": 512, "seed": 7, "safety_tolerance": 3}}),
                json!({"prompt": "wide", "providerOptions": {"aspect_ratio": "16:9"}}),
                json!({"prompt": "ultra", "model": "flux-pro-1.1-ultra", "providerOptions": {"aspect_ratio": "21:9", "raw": true, "output_format": "jpeg"}}),
                json!({"prompt": "inspired", "references": [reference], "providerOptions": {"image_prompt_strength": 0.4}}),
                json!({"prompt": "edited", "model": "flux-kontext-pro", "imageBase64": base64, "references": [reference],
                       "providerOptions": {"input_image_2": reference, "prompt_upsampling": true, "webhook_url": "https://evil.example"}}),
            ];
            for body in bodies {
                let id = app.generate(&user, body).await;
                let job = app.final_job(&user, &id).await;
                assert_eq!(job["status"], "COMPLETED", "{job}");
            }
            let known = [(base64.as_str(), "reference in base64")];
            let sent: Vec<_> = bfl.submissions().iter().map(|body| redact(body, &known)).collect();
            insta::assert_json_snapshot!("flux_submissions", sent);
            let headers = bfl.submit_headers();
            for name in ["x-key", "accept", "content-type"] {
                assert!(headers[0].contains_key(name), "{name}");
            }
            let warnings = "select string_agg(warnings::text, ' ' order by created_at) from jobs";
            let row = sqlx::query_scalar::<_, String>(warnings)
                .fetch_one(app.ctx.db.get_postgres_connection_pool())
                .await
                .unwrap();
            insta::assert_snapshot!("flux_warnings", row);
            app.until("inputs to go", || async { app.bucket.keys("inputs").is_empty().then_some(()) }).await;
        })
        .await;
}

#[tokio::test]
async fn the_key_decides_between_flux_and_the_demo() {
    let bfl = Bfl::start().await;
    test_app()
        .worker()
        .flux(&bfl)
        .run(async |app| {
            let user = app.user().await;
            let id = app.generate(&user, json!({"prompt": "a fox"})).await;
            let job = app.final_job(&user, &id).await;
            assert!(
                job["metadata"].get("warnings").is_none(),
                "not a demo picture: {job}"
            );
            let path = job["resultUrl"]
                .as_str()
                .unwrap()
                .strip_prefix(&app.base)
                .unwrap();
            assert_eq!(app.get(path, None).await.bytes, pictures::png(96, 64));
            assert_eq!(bfl.submissions().len(), 1);
            let body = json!({"prompt": "a fox", "model": "ideogram"});
            let answer = app
                .post("/api/image/ideogram", Some(&user.token), body)
                .await;
            let id = answer.json["jobId"].as_str().unwrap().to_owned();
            assert_eq!(app.final_job(&user, &id).await["status"], "COMPLETED");
            assert_eq!(
                bfl.submissions().len(),
                1,
                "other routes are still the demo's"
            );
        })
        .await;
}

#[tokio::test]
async fn slow_tasks_are_polled_without_a_slot_and_submitted_once() {
    let bfl = Bfl::start().await;
    let pending = json!({"id": "task-1", "status": "Pending", "result": null});
    let mut answers = vec![pending; 8];
    answers.push(json!({"id": "task-1", "status": "Some new state", "result": null}));
    answers.push(json!({"status": "Ready"}));
    bfl.answer_polls(answers);
    test_app()
        .worker()
        .flux(&bfl)
        .run(async |app| {
            let user = app.user().await;
            let id = app.generate(&user, json!({"prompt": "a fox"})).await;
            assert_eq!(app.final_job(&user, &id).await["status"], "COMPLETED");
            assert_eq!((bfl.submissions().len(), bfl.polls()), (1, 10));
            assert!(
                app.count("select claim_no::bigint from jobs").await > 1,
                "polls are steps of their own"
            );
            assert_eq!(app.count("select tries::bigint from jobs").await, 0);
        })
        .await;
}

#[tokio::test]
async fn each_end_of_a_task_ends_the_job_rightly() {
    let ready = |sample: &str| json!({"status": "Ready", "result": {"sample": sample}});
    let cases = [
        (
            "request moderated",
            json!({"status": "Request Moderated"}),
            None,
            "CONTENT_REFUSED",
            1,
        ),
        (
            "content moderated",
            json!({"status": "Content Moderated"}),
            None,
            "CONTENT_REFUSED",
            1,
        ),
        (
            "error",
            json!({"status": "Error"}),
            None,
            "PROVIDER_FAULT",
            3,
        ),
        (
            "task not found",
            json!({"status": "Task not found"}),
            None,
            "PROVIDER_FAULT",
            3,
        ),
        (
            "no sample",
            json!({"status": "Ready", "result": {}}),
            None,
            "NO_USABLE_RESULT",
            2,
        ),
        (
            "sample on a foreign host",
            ready("https://evil.example/x.png"),
            None,
            "NO_USABLE_RESULT",
            1,
        ),
        (
            "sample is no picture",
            json!({"status": "Ready"}),
            Some(b"<html>hello</html>".to_vec()),
            "NO_USABLE_RESULT",
            2,
        ),
    ];
    for (name, answer, delivery, code, submissions) in cases {
        let bfl = Bfl::start().await;
        bfl.answer_polls([answer]);
        if let Some(bytes) = delivery {
            bfl.deliver(bytes);
        }
        test_app()
            .worker()
            .flux(&bfl)
            .run(async |app| {
                let user = app.user().await;
                let id = app.generate(&user, json!({"prompt": "a fox"})).await;
                let job = app.final_job(&user, &id).await;
                assert_eq!(job["status"], "FAILED", "{name}: {job}");
                let sql = format!("select count(*) from jobs where error_code = '{code}'");
                assert_eq!(app.count(&sql).await, 1, "{name}");
                assert_eq!(bfl.submissions().len(), submissions, "{name}");
                assert_eq!(app.credits(&user).await, 20, "{name}");
                app.until("objects to go", || async {
                    app.bucket.keys("").is_empty().then_some(())
                })
                .await;
            })
            .await;
    }
}

#[tokio::test]
async fn an_outage_while_a_paid_task_runs_costs_no_try_and_no_second_submission() {
    let bfl = Bfl::start().await;
    let mut answers = vec![json!({"_http": 500}); 6];
    answers.push(json!({"status": "Ready"}));
    bfl.answer_polls(answers);
    test_app()
        .worker()
        .flux(&bfl)
        .run(async |app| {
            let user = app.user().await;
            let id = app.generate(&user, json!({"prompt": "a fox"})).await;
            assert_eq!(app.final_job(&user, &id).await["status"], "COMPLETED");
            assert_eq!((bfl.submissions().len(), bfl.polls()), (1, 7));
        })
        .await;
}

#[tokio::test]
async fn a_task_that_never_ends_is_given_up_within_its_budget() {
    let bfl = Bfl::start().await;
    bfl.answer_polls([json!({"status": "Pending"})]);
    test_app()
        .worker()
        .flux(&bfl)
        .set("/providers/flux/budget_ms", 500)
        .run(async |app| {
            let user = app.user().await;
            let id = app.generate(&user, json!({"prompt": "a fox"})).await;
            let job = app.final_job(&user, &id).await;
            assert_eq!(job["status"], "FAILED");
            assert_eq!(
                app.count("select count(*) from jobs where error_code = 'GENERATION_TOO_SLOW'")
                    .await,
                1
            );
            assert_eq!(app.credits(&user).await, 20);
        })
        .await;
}
