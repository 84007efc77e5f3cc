//! Cancelling: `POST /api/jobs/:id/cancel` and `DELETE /api/jobs/:id`.

use axum::http::Method;
use serde_json::json;

use crate::support::{
    TestApp,
    bfl::{Bfl, Point},
    pictures,
    snapshot::stable,
    test_app,
};

async fn processing(app: &TestApp, user: &crate::support::TestUser, id: &str) {
    app.until("the job to run", || async {
        (app.job(user, id).await["status"] == "PROCESSING").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_waiting_job_is_cancelled_at_once_and_its_credits_are_back() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            let body = json!({"prompt": "a fox", "references": [pictures::data_url(8, 8)]});
            let id = app.generate(&user, body).await;
            assert_eq!(app.credits(&user).await, 19);
            let path = format!("/api/jobs/{id}/cancel");
            let answer = app.post(&path, Some(&user.token), json!({})).await;
            let known = [(id.as_str(), "job")];
            insta::assert_json_snapshot!("cancelled_waiting_job", stable(&answer, &known));
            assert_eq!(app.credits(&user).await, 20);
            let again = app.post(&path, Some(&user.token), json!({})).await;
            insta::assert_json_snapshot!("cancel_of_a_final_job", stable(&again, &known));
            assert_eq!(app.credits(&user).await, 20, "once");
            let inputs = "select count(*) from object_deletions where object_key like 'inputs/%' and not_before <= now()";
            assert_eq!(app.count(inputs).await, 1);
            let events = "select count(*) from job_events where payload ->> 'status' = 'CANCELLED'";
            assert_eq!(app.count(events).await, 1);
        })
        .await;
}

#[tokio::test]
async fn only_the_owner_cancels_and_only_what_is_there() {
    test_app()
        .run(async |app| {
            let (user, other) = (app.user().await, app.user().await);
            let id = app.generate(&other, json!({"prompt": "not yours"})).await;
            for path in [
                format!("/api/jobs/{id}"),
                format!("/api/jobs/{}", uuid::Uuid::nil()),
                "/api/jobs/no-id".to_owned(),
            ] {
                let answer = app
                    .call(Method::DELETE, &path, Some(&user.token), None)
                    .await;
                assert_eq!(
                    (answer.status, &answer.json["code"]),
                    (404, &json!("NOT_FOUND"))
                );
                assert_eq!(
                    app.call(Method::DELETE, &path, None, None).await.status,
                    401
                );
            }
            assert_eq!(app.job(&other, &id).await["status"], "PENDING");
        })
        .await;
}

#[tokio::test]
async fn a_running_job_is_ended_by_its_worker() {
    let bfl = Bfl::start().await;
    bfl.close(Point::Submit);
    test_app()
        .worker()
        .flux(&bfl)
        .run(async |app| {
            let user = app.user().await;
            let id = app.generate(&user, json!({"prompt": "a fox"})).await;
            bfl.arrived(Point::Submit, 1).await;
            let path = format!("/api/jobs/{id}");
            for _ in 0..2 {
                let answer = app
                    .call(Method::DELETE, &path, Some(&user.token), None)
                    .await;
                assert_eq!(answer.status, 202, "{}", answer.json);
                assert_eq!(answer.json["metadata"]["stage"], "cancelling");
            }
            let job = app.final_job(&user, &id).await;
            assert_eq!(job["status"], "CANCELLED", "{job}");
            assert_eq!(app.credits(&user).await, 20);
            bfl.open(Point::Submit);
            assert!(app.bucket.keys("generated-images").is_empty());
        })
        .await;
}

#[tokio::test]
async fn a_job_that_waits_for_upstream_is_ended_at_its_next_step() {
    let bfl = Bfl::start().await;
    bfl.answer_polls([json!({"status": "Pending"})]);
    test_app()
        .worker()
        .flux(&bfl)
        // Long enough that only the cancelling can be what makes it due.
        .set("/providers/flux/poll_interval_ms", 60_000)
        .run(async |app| {
            let user = app.user().await;
            let id = app.generate(&user, json!({"prompt": "a fox"})).await;
            processing(app, &user, &id).await;
            app.until("the lease to be given back", || async {
                let resting = "select count(*) from jobs where upstream_id is not null and lease_owner is null";
                (app.count(resting).await == 1).then_some(())
            })
            .await;
            let answer =
                app.call(Method::DELETE, &format!("/api/jobs/{id}"), Some(&user.token), None).await;
            assert_eq!(answer.status, 202, "{}", answer.json);
            assert_eq!(app.final_job(&user, &id).await["status"], "CANCELLED");
            assert_eq!(app.credits(&user).await, 20);
        })
        .await;
}

#[tokio::test]
async fn cancels_that_race_with_the_worker_settle_each_job_once() {
    test_app()
        .worker()
        .run(async |app| {
            let user = app.user().await;
            let mut ids = Vec::new();
            for _ in 0..20 {
                ids.push(app.generate(&user, json!({"prompt": "a fox"})).await);
            }
            let token = user.token.as_str();
            let calls = ids.iter().map(|id| {
                let path = format!("/api/jobs/{id}");
                async move {
                    app.call(Method::DELETE, &path, Some(token), None)
                        .await
                        .status
                }
            });
            for status in futures_util::future::join_all(calls).await {
                assert!([200, 202, 409].contains(&status), "{status}");
            }
            let mut completed = 0;
            for id in &ids {
                let job = app.final_job(&user, id).await;
                completed += i64::from(job["status"] == "COMPLETED");
            }
            assert_eq!(app.credits(&user).await, 20 - completed);
        })
        .await;
}
