//! `jobs_stuck`, `jobs_nudge`, `jobs_purge`.

use serde_json::json;

use super::run;
use crate::support::{TestApp, test_app};

const STUCK: [&str; 2] = ["task", "jobs_stuck"];

async fn set(app: &TestApp, id: &str, columns: &str) {
    app.execute(&format!("update jobs set {columns} where id = '{id}'"))
        .await;
}

#[tokio::test]
async fn stuck_jobs_are_listed_by_what_is_wrong() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            let ids = [
                app.generate(&user, json!({"prompt": "a fox"})).await,
                app.generate(&user, json!({"prompt": "a fox"})).await,
            ];
            let (is_fine, text) = run(app, &STUCK).await;
            assert!(is_fine && text.contains("No job is stuck."), "{text}");
            set(app, &ids[0], "next_run_at = now() - interval '5 minutes'").await;
            let (is_fine, text) = run(app, &STUCK).await;
            assert!(!is_fine && text.contains("overdue: 1"), "{text}");
            assert!(text.contains(&ids[0]) && !text.contains(&ids[1]), "{text}");
            assert!(text.contains("for 300 s") || text.contains("for 301 s"), "{text}");
            let (is_fine, text) = run(app, &["task", "jobs_stuck", "age:3600"]).await;
            assert!(is_fine, "{text}");
            let (is_fine, text) = run(app, &["task", "jobs_stuck", "age:soon"]).await;
            assert!(!is_fine && text.contains("age must be a whole number"), "{text}");
            set(
                app,
                &ids[1],
                "status = 'PROCESSING', claim_no = 1, lease_owner = gen_random_uuid(), started_at = now(),
                 next_run_at = now() - interval '2 minutes', deadline_at = now() - interval '3 minutes'",
            )
            .await;
            let (is_fine, text) = run(app, &STUCK).await;
            assert!(!is_fine, "{text}");
            assert!(text.contains("overdue: 1") && text.contains("lease lapsed: 1"), "{text}");
            assert!(text.contains("past deadline: 1"), "{text}");
        })
        .await;
}

#[tokio::test]
async fn jobs_that_wait_for_their_users_limit_are_not_stuck() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            for _ in 0..6 {
                app.generate(&user, json!({"prompt": "a fox"})).await;
            }
            app.execute(
                "update jobs set status = 'PROCESSING', claim_no = 1, started_at = now(),
                        next_run_at = now() + interval '1 hour'
                 where id in (select id from jobs order by created_at limit 5)",
            )
            .await;
            app.execute(
                "update jobs set next_run_at = now() - interval '1 day' where status = 'PENDING'",
            )
            .await;
            let (is_fine, text) = run(app, &STUCK).await;
            assert!(is_fine && text.contains("No job is stuck."), "{text}");
        })
        .await;
}

#[tokio::test]
async fn held_credits_without_a_live_job_are_found() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            let id = app.generate(&user, json!({"prompt": "a fox"})).await;
            app.execute("alter table jobs disable trigger jobs_final").await;
            let broken = "status = 'FAILED', error = 'e', next_run_at = null, completed_at = now() - interval '1 hour'";
            set(app, &id, broken).await;
            let (is_fine, text) = run(app, &STUCK).await;
            assert!(!is_fine && text.contains("hold without job: 1"), "{text}");
            assert!(text.contains(&id) && text.contains("ledger_check"), "{text}");
            set(app, &id, "status = 'PENDING', error = null, next_run_at = now(), completed_at = null").await;
        })
        .await;
}

#[tokio::test]
async fn a_nudge_makes_a_waiting_job_due_and_sends_a_delivery() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            let id = app.generate(&user, json!({"prompt": "a fox"})).await;
            let argument = format!("job:{id}");
            let nudge = ["task", "jobs_nudge", argument.as_str()];
            app.execute("delete from apalis.jobs").await;
            set(app, &id, "next_run_at = now() + interval '1 hour', tries = 2").await;
            let (is_fine, text) = run(app, &nudge).await;
            assert!(is_fine && text.contains("is due now"), "{text}");
            let due = "select count(*) from jobs where next_run_at <= now() and tries = 2 and claim_no = 0";
            assert_eq!(app.count(due).await, 1);
            let sent = format!(
                "select count(*) from apalis.jobs where job_type = 'image-generation-queue' and status = 'Pending'
                 and convert_from(job, 'UTF8') like '%{id}%'"
            );
            assert_eq!(app.count(&sent).await, 1);
        })
        .await;
}

#[tokio::test]
async fn a_nudge_leaves_jobs_in_work_and_final_ones_alone() {
    test_app()
        .worker()
        .run(async |app| {
            let user = app.user().await;
            let body = json!({"prompt": "a fox", "providerOptions": {"width": 64, "height": 64}});
            let id = app.generate(&user, body).await;
            app.final_job(&user, &id).await;
            let (is_fine, text) = run(app, &["task", "jobs_nudge", &format!("job:{id}")]).await;
            assert!(
                !is_fine && text.contains("is COMPLETED, and that is final"),
                "{text}"
            );
            assert_eq!(app.credits(&user).await, 19);
            for bad in ["job:01a20513-d927-7044-adaa-89f1b3adba47", "job:x", "id:x"] {
                assert!(!run(app, &["task", "jobs_nudge", bad]).await.0, "{bad}");
            }
        })
        .await;
    test_app()
        .run(async |app| {
            let user = app.user().await;
            let id = app.generate(&user, json!({"prompt": "a fox"})).await;
            set(
                app,
                &id,
                "status = 'PROCESSING', claim_no = 1, lease_owner = gen_random_uuid(), started_at = now(),
                 next_run_at = now() + interval '1 hour'",
            )
            .await;
            let (is_fine, text) = run(app, &["task", "jobs_nudge", &format!("job:{id}")]).await;
            assert!(is_fine && text.contains("nothing was changed"), "{text}");
            let kept = "select count(*) from jobs where next_run_at > now() + interval '50 minutes'";
            assert_eq!(app.count(kept).await, 1);
        })
        .await;
}

#[tokio::test]
async fn a_purge_deletes_what_is_finished_and_old_and_nothing_else() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            for key in ["old", "young"] {
                let request = app
                    .request(reqwest::Method::POST, "/api/image/flux")
                    .bearer_auth(&user.token)
                    .header("idempotency-key", key)
                    .json(&json!({"prompt": "a fox"}));
                assert_eq!(app.send(request).await.status, 201);
            }
            app.execute("update idempotency_keys set expires_at = now() where key = 'old'")
                .await;
            app.execute(
                "update job_events set created_at = created_at - interval '3 days' where seq = 1",
            )
            .await;
            app.execute(
                "update apalis.jobs set id = '00' || substr(id, 3), status = 'Done', done_at = now() - interval '3 days'
                 where id = (select min(id) from apalis.jobs)",
            )
            .await;
            let (is_fine, text) = run(app, &["task", "jobs_purge"]).await;
            assert!(is_fine, "{text}");
            assert!(
                text.contains("Finished deliveries older than 1 days: 1 deleted."),
                "{text}"
            );
            assert!(
                text.contains("Events older than 7 days: 0 deleted."),
                "{text}"
            );
            assert!(
                text.contains("Expired idempotency keys: 1 deleted."),
                "{text}"
            );
            let (is_fine, text) = run(app, &["task", "jobs_purge", "events_days:2"]).await;
            assert!(
                is_fine && text.contains("Events older than 2 days: 1 deleted."),
                "{text}"
            );
            for (table, left) in [
                ("jobs", 2),
                ("apalis.jobs", 1),
                ("job_events", 1),
                ("idempotency_keys", 1),
            ] {
                let rows = format!("select count(*) from {table}");
                assert_eq!(app.count(&rows).await, left, "{table}");
            }
            assert!(!run(app, &["task", "jobs_purge", "events_days:-1"]).await.0);
        })
        .await;
}
