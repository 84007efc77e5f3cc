//! The main job end to end, and what happens when a provider fails.

use serde_json::{Value, json};

use crate::support::{TestApp, TestUser, bfl::Bfl, snapshot::redact, test_app};

async fn assert_all_given_back(app: &TestApp, user: &TestUser) {
    assert_eq!(app.credits(user).await, 20);
    assert_eq!(app.count("select count(*) from r2_files").await, 0);
    app.until("objects to go", || async {
        app.bucket.keys("").is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_picture_is_made_stored_shown_and_paid() {
    test_app()
        .worker()
        .run(async |app| {
            let user = app.user().await;
            let body = json!({"prompt": "a fox in the snow", "providerOptions": {"width": 320, "height": 192, "seed": 7}});
            let id = app.generate(&user, body).await;
            let job = app.final_job(&user, &id).await;
            let file = job["metadata"]["r2FileId"].as_str().unwrap().to_owned();
            let known = [
                (app.base.as_str(), "base"),
                (user.id.as_str(), "user"),
                (id.as_str(), "job"),
                (file.as_str(), "file"),
            ];
            insta::assert_json_snapshot!("completed_job", redact(&job, &known));
            let path = job["resultUrl"].as_str().unwrap().strip_prefix(&app.base).unwrap();
            let picture = image::load_from_memory(&app.get(path, None).await.bytes).unwrap();
            assert_eq!((picture.width(), picture.height()), (320, 192));
            assert_eq!(app.credits(&user).await, 19);
            assert_eq!(app.count("select count(*) from usage_events where cost = 1 and balance_after = 19").await, 1);
            let events = "select count(*) from job_events";
            assert_eq!(app.count(events).await, 4, "admitted, claimed, storing, completed");
        })
        .await;
}

#[tokio::test]
async fn a_failing_provider_is_tried_again_with_growing_pauses_then_fails_once() {
    let bfl = Bfl::start().await;
    let fault = (503, json!({"detail": "overloaded"}));
    bfl.fail_submissions(vec![fault; 9]);
    test_app()
        .worker()
        .flux(&bfl)
        .set("/jobs/max_tries", 4)
        .set("/jobs/backoff_base_ms", 200)
        .set("/jobs/backoff_max_ms", 2_000)
        .run(async |app| {
            let user = app.user().await;
            app.note_pauses().await;
            let id = app.generate(&user, json!({"prompt": "a fox"})).await;
            let job = app.final_job(&user, &id).await;
            insta::assert_json_snapshot!("failed_job", redact(&job, &[(id.as_str(), "job")]));
            assert_eq!(bfl.submissions().len(), 4);
            let pauses = app.noted_pauses().await;
            assert_eq!(pauses.len(), 3);
            assert!(
                pauses.windows(2).all(|pair| pair[0] < pair[1]),
                "{pauses:?}"
            );
            let failed = "select count(*) from job_events where payload ->> 'status' = 'FAILED'";
            assert_eq!(app.count(failed).await, 1);
            assert_all_given_back(app, &user).await;
        })
        .await;
}

#[tokio::test]
async fn what_is_final_is_not_tried_again() {
    for (name, fault, code) in [
        (
            "402",
            (402, json!({"detail": "Insufficient credits"})),
            "PROVIDER_UNAVAILABLE",
        ),
        (
            "403",
            (403, json!({"detail": "Not authenticated"})),
            "PROVIDER_UNAVAILABLE",
        ),
        (
            "422",
            (
                422,
                json!({"detail": [{"loc": ["body", "width"], "msg": "too small", "type": "x"}]}),
            ),
            "PROVIDER_REFUSED_INPUT",
        ),
    ] {
        let bfl = Bfl::start().await;
        bfl.fail_submissions([fault]);
        test_app()
            .worker()
            .flux(&bfl)
            .run(async |app| {
                let user = app.user().await;
                let id = app.generate(&user, json!({"prompt": "a fox"})).await;
                let job = app.final_job(&user, &id).await;
                assert_eq!(job["status"], "FAILED", "{name}");
                let error = job["error"].as_str().unwrap().to_lowercase();
                for word in [
                    "insufficient credit",
                    "unauthorized",
                    "quota",
                    "plan limit",
                    "timeout",
                    "authenticated",
                ] {
                    assert!(!error.contains(word), "{name}: {error}");
                }
                assert_eq!(bfl.submissions().len(), 1, "{name}");
                let sql = format!("select count(*) from jobs where error_code = '{code}'");
                assert_eq!(app.count(&sql).await, 1, "{name}");
                assert_all_given_back(app, &user).await;
            })
            .await;
    }
}

#[tokio::test]
async fn being_told_to_wait_costs_no_try() {
    let bfl = Bfl::start().await;
    let busy = (429, json!({"detail": "too many active tasks"}));
    bfl.fail_submissions(vec![busy; 4]);
    test_app()
        .worker()
        .flux(&bfl)
        .set("/jobs/max_tries", 2)
        .run(async |app| {
            let user = app.user().await;
            let id = app.generate(&user, json!({"prompt": "a fox"})).await;
            assert_eq!(app.final_job(&user, &id).await["status"], "COMPLETED");
            assert_eq!(bfl.submissions().len(), 5);
            assert_eq!(app.count("select tries::bigint from jobs").await, 0);
        })
        .await;
}

#[tokio::test]
async fn a_job_past_its_deadline_is_given_up_and_given_back() {
    let bfl = Bfl::start().await;
    bfl.answer_polls([json!({"status": "Pending"})]);
    test_app()
        .worker()
        .flux(&bfl)
        .set("/jobs/deadline_ms", 400)
        .run(async |app| {
            let user = app.user().await;
            let id = app.generate(&user, json!({"prompt": "a fox"})).await;
            let job = app.final_job(&user, &id).await;
            assert_eq!(job["status"], "FAILED");
            assert_all_given_back(app, &user).await;
        })
        .await;
}

#[tokio::test]
async fn waiting_for_a_worker_uses_up_no_time_of_a_job() {
    test_app()
        .worker()
        .run(async |app| {
            let user = app.user().await;
            // Admitted a day ago, with a deadline that has passed meanwhile.
            app.execute(
                "create function late() returns trigger language plpgsql as $$ begin
                    new.created_at = now() - interval '1 day';
                    new.deadline_at = new.deadline_at - interval '1 day';
                    return new; end $$",
            )
            .await;
            app.execute(
                "create trigger late before insert on jobs for each row execute function late()",
            )
            .await;
            let body = json!({"prompt": "a fox", "providerOptions": {"width": 64, "height": 64}});
            let id = app.generate(&user, body).await;
            assert_eq!(app.final_job(&user, &id).await["status"], "COMPLETED");
        })
        .await;
}

#[tokio::test]
async fn a_lost_delivery_and_a_flood_of_them_both_end_with_one_result() {
    test_app()
        .worker()
        .run(async |app| {
            let user = app.user().await;
            // No delivery at all: admitted, then deleted before it was handed out.
            app.execute("create function drop_delivery() returns trigger language plpgsql as 'begin return null; end'").await;
            app.execute("create trigger drop_them before insert on apalis.jobs for each row execute function drop_delivery()").await;
            let id = app.generate(&user, json!({"prompt": "a fox", "providerOptions": {"width": 64, "height": 64}})).await;
            assert_eq!(app.job(&user, &id).await["status"], "PENDING");
            app.execute("drop trigger drop_them on apalis.jobs").await;
            assert_eq!(app.final_job(&user, &id).await["status"], "COMPLETED");
            // Many deliveries of one finished job.
            let args = json!({"jobId": id});
            let queue = app.ctx.queue_provider.clone().unwrap();
            for _ in 0..10 {
                let args: Value = args.clone();
                queue
                    .enqueue("ImageGenerationWorker".into(), Some("image-generation-queue".into()), args, None, None)
                    .await
                    .unwrap();
            }
            app.until("deliveries to be done", || async {
                (app.count("select count(*) from apalis.jobs where status <> 'Done'").await == 0).then_some(())
            })
            .await;
            assert_eq!(app.credits(&user).await, 19);
            assert_eq!(app.count("select count(*) from r2_files").await, 1);
        })
        .await;
}

#[tokio::test]
async fn the_running_limit_delays_and_never_strands() {
    test_app()
        .worker()
        .set("/jobs/max_running_per_user", 1)
        .set("/jobs/duty_interval_ms", 3_600_000)
        .run(async |app| {
            let user = app.user().await;
            let mut ids = Vec::new();
            for _ in 0..6 {
                let body =
                    json!({"prompt": "a fox", "providerOptions": {"width": 64, "height": 64}});
                ids.push(app.generate(&user, body).await);
            }
            for id in &ids {
                assert_eq!(app.final_job(&user, id).await["status"], "COMPLETED");
            }
            assert_eq!(app.credits(&user).await, 14);
        })
        .await;
}
