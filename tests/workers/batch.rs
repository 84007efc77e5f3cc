//! Batches through the queue: partial results, retries of one item, limits, and what is charged.

use sea_orm::{ConnectionTrait, DbBackend, Statement};
use serde_json::{Value, json};

use crate::support::{
    Builder, TestApp, TestUser, bfl::Bfl, snapshot::redact, sse::Stream, test_app,
};

mod endings;
mod pace;

const QUEUE: &str = "batch-generation-queue";

/// An app that works batches of `bfl`'s pictures. A machine that is busy must not make a submission be
/// done again.
fn worker(bfl: &Bfl) -> Builder {
    test_app()
        .worker()
        .flux(bfl)
        .set("/jobs/heartbeat_ms", 10_000)
}

/// Payloads of all events of batches, oldest first.
async fn events(app: &TestApp) -> Vec<Value> {
    let sql =
        "select payload from job_events where payload ->> 'type' = 'BATCH_GENERATION' order by seq";
    let rows = app
        .ctx
        .db
        .query_all_raw(Statement::from_string(DbBackend::Postgres, sql))
        .await
        .unwrap();
    rows.iter()
        .map(|row| row.try_get::<Value>("", "payload").unwrap())
        .collect()
}

async fn file_id(app: &TestApp, position: i32) -> String {
    let sql = format!("select file_id::text from job_items where position = {position}");
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
        .fetch_one(app.ctx.db.get_postgres_connection_pool())
        .await
        .unwrap()
}

/// Rows, objects, charge and progress agree with what the job says.
async fn assert_consistent(app: &TestApp, user: &TestUser, job: &Value, credits_before: i64) {
    let id = job["id"].as_str().unwrap();
    let metadata = &job["metadata"];
    let items = metadata["items"].as_array().unwrap();
    let urls: Vec<&Value> = items.iter().filter_map(|item| item.get("url")).collect();
    let results: Vec<&Value> = metadata["results"].as_array().unwrap().iter().collect();
    assert_eq!(results, urls, "results are in the order of the prompts");
    let delivered = i64::try_from(urls.len()).unwrap();
    assert_eq!(metadata["resultCount"], delivered);
    assert_eq!(metadata["done"], metadata["total"]);
    assert_eq!(
        job["resultUrl"],
        results.first().map_or(Value::Null, |url| (*url).clone())
    );
    for item in items {
        let is_delivered = item["status"] == "COMPLETED";
        assert_eq!(is_delivered, item.get("url").is_some(), "{item}");
        assert_eq!(!is_delivered, item.get("error").is_some(), "{item}");
    }
    let files = format!("select count(*) from r2_files where job_id = '{id}'");
    assert_eq!(app.count(&files).await, delivered);
    let captured = format!("select captured_amount from credit_reservations where job_id = '{id}'");
    assert_eq!(app.count(&captured).await, delivered);
    assert_eq!(app.credits(user).await, credits_before - delivered);
    let open = format!(
        "select count(*) from job_items where job_id = '{id}' and status in ('PENDING', 'SUBMITTED')"
    );
    assert_eq!(app.count(&open).await, 0);
    app.until("objects without a row to go", || async {
        let keys = app.bucket.keys("generated-images");
        let objects = keys.iter().filter(|key| key.contains(id)).count();
        (i64::try_from(objects).unwrap() == delivered).then_some(())
    })
    .await;
}

fn moderated() -> Value {
    json!({"status": "Request Moderated"})
}

fn pending() -> Value {
    json!({"status": "Pending"})
}

#[tokio::test]
async fn every_prompt_becomes_a_picture_and_an_event() {
    let bfl = Bfl::start().await;
    worker(&bfl)
        .run(async |app| {
            let user = app.user().await;
            // One at a time, so that the order of the events is the order of the prompts.
            let id = app.batch(&user, &["a fox", "a hare", "an owl"], 1).await;
            let job = app.final_job(&user, &id).await;
            let files = [file_id(app, 0).await, file_id(app, 1).await, file_id(app, 2).await];
            let known = [
                (app.base.as_str(), "base"),
                (user.id.as_str(), "user"),
                (id.as_str(), "job"),
                (files[0].as_str(), "file 1"),
                (files[1].as_str(), "file 2"),
                (files[2].as_str(), "file 3"),
            ];
            insta::assert_json_snapshot!("completed_batch", redact(&job, &known));
            insta::assert_json_snapshot!("batch_events", redact(&json!(events(app).await), &known));
            assert_consistent(app, &user, &job, 20).await;
            let usage = "select count(*) from usage_events where cost = 3 and prompt = E'a fox\\na hare\\nan owl'";
            assert_eq!(app.count(usage).await, 1);
            assert_eq!((bfl.submissions().len(), bfl.peak()), (3, 1));
        })
        .await;
}

#[tokio::test]
async fn the_demo_provider_makes_batches_too() {
    test_app()
        .worker()
        .run(async |app| {
            let user = app.user().await;
            let prompts: Vec<String> = (0..20).map(|n| format!("fox {n}")).collect();
            let body = json!({
                "prompts": prompts, "provider": "ideogram", "model": "ideogram", "batchSize": 10,
                "options": {"providerOptions": {"width": 64, "height": 64}},
            });
            let path = "/api/jobs/batch-generation";
            let answer = app.post(path, Some(&user.token), body).await;
            let id = answer.json["jobId"].as_str().unwrap();
            let job = app.final_job(&user, id).await;
            assert_eq!(job["metadata"]["resultCount"], 20, "{job}");
            assert_consistent(app, &user, &job, 20).await;
            let progress: Vec<i64> = events(app)
                .await
                .iter()
                .map(|event| event["progress"].as_i64().unwrap())
                .collect();
            let mut expected = vec![0, 0, 10];
            expected.extend((1..=20).map(|done| 10 + done * 80 / 20));
            expected.push(100);
            assert_eq!(progress, expected);
        })
        .await;
}

#[tokio::test]
async fn failures_stay_with_their_items() {
    let bfl = Bfl::start().await;
    bfl.answer_polls_of("moderated", [moderated()]);
    bfl.answer_polls_of("broken", [json!({"status": "Error"})]);
    bfl.fail_submissions_of("wrong", [(422, json!({"detail": "no"}))]);
    worker(&bfl)
        .run(async |app| {
            let user = app.user().await;
            let prompts = ["moderated", "a fox", "broken", "a hare", "wrong"];
            let id = app.batch(&user, &prompts, 5).await;
            let job = app.final_job(&user, &id).await;
            let known = [
                (app.base.as_str(), "base"),
                (user.id.as_str(), "user"),
                (id.as_str(), "job"),
            ];
            insta::assert_json_snapshot!("partly_failed_items", redact(&job["metadata"]["items"], &known));
            assert_eq!(job["status"], "COMPLETED");
            assert_consistent(app, &user, &job, 20).await;
            assert_eq!(bfl.submissions_of("moderated"), 1);
            assert_eq!(bfl.submissions_of("broken"), 3, "as often as jobs.max_tries");
            assert_eq!(bfl.submissions_of("a fox"), 1);
            let tries = "select count(*) from job_items where tries = case prompt when 'broken' then 2 else 0 end";
            assert_eq!(app.count(tries).await, 5);
        })
        .await;
}

#[tokio::test]
async fn a_batch_with_nothing_delivered_fails_and_gives_all_back() {
    for (name, second, sentence) in [
        ("one reason", moderated(), "content rules"),
        (
            "several reasons",
            json!({"status": "Ready", "result": {"sample": "https://evil.example/x.png"}}),
            "different reasons",
        ),
    ] {
        let bfl = Bfl::start().await;
        bfl.answer_polls_of("first", [moderated()]);
        bfl.answer_polls_of("second", [second]);
        worker(&bfl)
            .run(async |app| {
                let user = app.user().await;
                let id = app.batch(&user, &["first", "second"], 5).await;
                let job = app.final_job(&user, &id).await;
                assert_eq!(job["status"], "FAILED", "{name}: {job}");
                let error = job["error"].as_str().unwrap();
                assert!(error.contains(sentence), "{name}: {error}");
                assert_consistent(app, &user, &job, 20).await;
                assert_eq!(app.count("select count(*) from usage_events").await, 0);
                let released = "select count(*) from credit_reservations where state = 'released'";
                assert_eq!(app.count(released).await, 1);
            })
            .await;
    }
}

#[tokio::test]
async fn one_item_is_tried_again_while_the_others_go_on() {
    let bfl = Bfl::start().await;
    bfl.fail_submissions_of("shaky", vec![(503, json!({"detail": "overloaded"})); 2]);
    worker(&bfl)
        .run(async |app| {
            let user = app.user().await;
            let id = app.batch(&user, &["a fox", "shaky", "a hare"], 3).await;
            let job = app.final_job(&user, &id).await;
            assert_eq!(job["metadata"]["resultCount"], 3, "{job}");
            assert_consistent(app, &user, &job, 20).await;
            assert_eq!(bfl.submissions_of("shaky"), 3);
            assert_eq!(bfl.submissions().len(), 5);
            assert_eq!(app.count("select sum(tries) from job_items").await, 2);
            assert_eq!(app.count("select tries::bigint from jobs").await, 0);
        })
        .await;
}

#[tokio::test]
async fn finished_pictures_are_shown_before_the_batch_ends() {
    let bfl = Bfl::start().await;
    bfl.answer_polls_of("slow", [pending()]);
    worker(&bfl)
        .run(async |app| {
            let user = app.user().await;
            let id = app.batch(&user, &["slow", "a fox"], 2).await;
            let job = app
                .until("the first picture", || async {
                    let job = app.job(&user, &id).await;
                    (job["metadata"]["resultCount"] == 1).then_some(job)
                })
                .await;
            assert_eq!(job["status"], "PROCESSING");
            assert_eq!(
                (&job["progress"], &job["resultUrl"]),
                (&json!(50), &Value::Null)
            );
            assert_eq!(job["metadata"]["items"][1]["status"], "COMPLETED");
            let gallery = app.get("/api/r2files", Some(&user.token)).await.json;
            assert_eq!(gallery["items"].as_array().unwrap().len(), 1);
            assert_eq!(app.credits(&user).await, 18, "both are held");
            bfl.answer_polls_of("slow", [json!({"status": "Ready"})]);
            let job = app.final_job(&user, &id).await;
            assert_consistent(app, &user, &job, 20).await;
        })
        .await;
}

#[tokio::test]
async fn pictures_that_all_prompts_share_go_out_with_each() {
    let bfl = Bfl::start().await;
    worker(&bfl)
        .run(async |app| {
            let user = app.user().await;
            let reference = crate::support::pictures::data_url(8, 8);
            let body = json!({
                "prompts": ["a fox", "a hare"], "provider": "flux", "model": "flux-kontext-pro",
                "options": {"references": [reference], "avatarId": "avatar-1"},
            });
            let path = "/api/jobs/batch-generation";
            let answer = app.post(path, Some(&user.token), body).await;
            let id = answer.json["jobId"].as_str().unwrap();
            let job = app.final_job(&user, id).await;
            assert_consistent(app, &user, &job, 20).await;
            assert!(bfl.submissions().iter().all(|body| body["input_image"].is_string()));
            let files = "select count(*) from r2_files where avatar_id = 'avatar-1' and prompt in ('a fox', 'a hare')";
            assert_eq!(app.count(files).await, 2);
            app.until("inputs to go", || async { app.bucket.keys("inputs").is_empty().then_some(()) }).await;
        })
        .await;
}
