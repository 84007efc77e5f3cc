//! A caller that hangs up in the middle leaves nothing half done.

use daygen::{
    jobs::admission::was_admitted,
    models::{
        begin,
        jobs::{Entity, JobType, NewJob},
    },
};
use serde_json::json;
use uuid::Uuid;

use crate::support::test_app;

#[tokio::test]
async fn a_begin_that_is_given_up_leaves_no_transaction_open() {
    test_app()
        .run(async |app| {
            for n in 0..200_u64 {
                let db = app.ctx.db.clone();
                let caller = tokio::spawn(async move { begin(&db).await.map(drop) });
                for _ in 0..n % 20 {
                    tokio::task::yield_now().await;
                }
                caller.abort();
            }
            let open = "select count(*) from pg_stat_activity
                        where datname = current_database() and state like 'idle in transaction%'";
            app.until("transactions to end", || async {
                (app.count(open).await == 0).then_some(())
            })
            .await;
            // Whatever connection is taken, what is written through it stays.
            for n in 0..20 {
                app.execute(&format!(
                    "insert into object_deletions (object_key) values ('uploads/none/{n}')"
                ))
                .await;
            }
            let written = sqlx::query_scalar::<_, i64>("select count(*) from object_deletions")
                .fetch_one(&crate::support::cluster::pool(&app.database.uri).await)
                .await
                .unwrap();
            assert_eq!(written, 20);
        })
        .await;
}

#[tokio::test]
async fn clients_that_hang_up_lose_and_mint_nothing() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            for n in 0..40_u64 {
                let request = app
                    .request(reqwest::Method::POST, "/api/image/flux")
                    .bearer_auth(&user.token)
                    .json(&json!({"prompt": "a fox"}))
                    .timeout(std::time::Duration::from_micros(300 * (n + 1)));
                request.send().await.ok();
            }
            app.until("every admission to end", || async {
                let open =
                    "select count(*) from pg_stat_activity where datname = current_database()
                            and state <> 'idle' and pid <> pg_backend_pid()";
                (app.count(open).await == 0).then_some(())
            })
            .await;
            let jobs = app.count("select count(*) from jobs").await;
            assert_eq!(app.credits(&user).await, 20 - jobs);
            assert_eq!(app.count("select count(*) from apalis.jobs").await, jobs);
        })
        .await;
}

/// The connection may break after a commit was sent and before it is written.
#[tokio::test]
async fn an_admission_that_ends_late_is_waited_for() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            let user_id = user.id.parse().unwrap();
            for is_written in [true, false] {
                let job = NewJob {
                    id: Uuid::now_v7(),
                    user_id,
                    r#type: JobType::ImageGeneration,
                    queue: "image-generation-queue".to_owned(),
                    provider: "flux".to_owned(),
                    model: "flux-pro-1.1".to_owned(),
                    prompt: None,
                    prompts: Vec::new(),
                    input: json!({}),
                    metadata: json!({}),
                    warnings: json!([]),
                    cost: 0,
                    deadline_ms: 60_000,
                    request_id: None,
                    correlation_id: None,
                };
                let txn = begin(&app.ctx.db).await.unwrap();
                assert!(Entity::insert_within_limit(&txn, &job, 10).await.unwrap());
                let db = app.ctx.db.clone();
                let look = tokio::spawn(async move { was_admitted(&db, job.id, user_id).await });
                app.until("the look to wait", || async {
                    let waiting = "select count(*) from pg_stat_activity
                        where datname = current_database() and wait_event_type = 'Lock'";
                    (app.count(waiting).await == 1).then_some(())
                })
                .await;
                if is_written {
                    txn.commit().await.unwrap();
                } else {
                    txn.rollback().await.unwrap();
                }
                assert_eq!(look.await.unwrap().unwrap(), is_written);
            }
        })
        .await;
}
