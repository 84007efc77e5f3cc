//! A caller that hangs up in the middle leaves nothing half done.

use daygen::models::begin;
use serde_json::json;

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
