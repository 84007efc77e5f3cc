//! What is finished and kept long enough goes by itself; what is younger stays.

use serde_json::json;

use crate::support::test_app;

#[tokio::test]
async fn old_rows_go_and_young_ones_stay() {
    test_app()
        .worker()
        .set("/jobs/event_retention_days", 3)
        .run(async |app| {
            let user = app.user().await;
            for key in ["old", "young"] {
                let request = app
                    .request(reqwest::Method::POST, "/api/image/flux")
                    .bearer_auth(&user.token)
                    .header("idempotency-key", key)
                    .json(&json!({"prompt": "a fox", "providerOptions": {"width": 64, "height": 64}}));
                let answer = app.send(request).await;
                app.final_job(&user, answer.json["jobId"].as_str().unwrap()).await;
            }
            let delivered = "select count(*) from apalis.jobs where status = 'Done'";
            app.until("both deliveries to be finished", || async {
                (app.count(delivered).await >= 2).then_some(())
            })
            .await;
            // A session that has lived long: one of its tokens is beyond use, the newest is not.
            app.execute(
                "insert into refresh_tokens (session_id, token_hash, expires_at)
                 select id, sha256('old'), now() - interval '2 days' from auth_sessions",
            )
            .await;
            app.execute("insert into auth_sessions (id, user_id, created_at, revoked_at)
                         select gen_random_uuid(), user_id, now() - interval '9 days', now() - interval '2 days'
                         from auth_sessions").await;
            let kept = app.count("select count(*) from apalis.jobs").await - 1;
            app.execute(
                "update apalis.jobs set id = '00' || substr(id, 3), done_at = now() - interval '25 hours'
                 where id = (select min(id) from apalis.jobs where status = 'Done')",
            )
            .await;
            let events = app.count("select count(*) from job_events").await - 1;
            app.execute("update job_events set created_at = now() - interval '73 hours' where seq = 1").await;
            app.execute("update idempotency_keys set expires_at = now() where key = 'old'").await;
            for (table, left) in [
                ("apalis.jobs", kept),
                ("job_events", events),
                ("idempotency_keys", 1),
                ("refresh_tokens", 1),
                ("auth_sessions", 1),
            ] {
                let rows = format!("select count(*) from {table}");
                app.until(table, || async { (app.count(&rows).await == left).then_some(()) })
                    .await;
            }
            let rolled = "select coalesce(sum(jobs), 0)::bigint from job_totals where status = 'COMPLETED'";
            app.until("finished jobs to be in the totals", || async {
                (app.count(rolled).await == 2).then_some(())
            })
            .await;
            assert_eq!(app.count("select count(*) from jobs").await, 2, "jobs are the history");
        })
        .await;
}
