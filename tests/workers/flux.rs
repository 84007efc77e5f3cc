//! A provider that works in tasks, by the example of FLUX; tests/providers has the suite over all.

use serde_json::json;

use crate::support::{bfl::Bfl, pictures, test_app};

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
