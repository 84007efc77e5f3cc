//! Items of batches: the fence of their job guards them, and what is final stays.

use daygen::models::{
    job_items::{Entity, Fault, ItemChange},
    jobs::{self, Claim, ClaimLimits, Fence},
    r2_files::NewFile,
};
use daygen::payments::ledger::invariants;
use sea_orm::ConnectionTrait;
use serde_json::json;
use uuid::Uuid;

use crate::support::test_app;

const LIMITS: ClaimLimits = ClaimLimits {
    lease_ms: 60_000,
    max_running_per_user: 100,
};

fn fault() -> Fault {
    Fault {
        error: "It failed.".to_owned(),
        code: "X".to_owned(),
        detail: "x".to_owned(),
    }
}

fn file(user: &str) -> NewFile {
    NewFile {
        id: Uuid::new_v4(),
        user_id: user.parse().unwrap(),
        object_key: "generated-images/x".to_owned(),
        file_name: "x".to_owned(),
        file_size: 1,
        mime_type: "image/png".to_owned(),
        prompt: None,
        provider: None,
        model: None,
        avatar_id: None,
        avatar_image_id: None,
        product_id: None,
        style_id: None,
        job_id: None,
    }
}

#[tokio::test]
async fn a_worker_presumed_dead_changes_no_item() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            app.batch(&user, &["a fox", "a hare"], 2).await;
            let db = &app.ctx.db;
            let claim = async || {
                let queue = "batch-generation-queue";
                match jobs::Entity::claim(db, queue, Uuid::new_v4(), LIMITS)
                    .await
                    .unwrap()
                {
                    Claim::Job(job) => *job,
                    other => panic!("{other:?}"),
                }
            };
            let old = claim().await;
            app.execute("update jobs set next_run_at = now() - interval '1 second'")
                .await;
            let new = claim().await;
            let changes = [
                ItemChange::submitted("task-1", json!({}), 0),
                ItemChange::retry(0, true, true, &fault()),
                ItemChange::complete(&file(&user.id)),
                ItemChange::fail(&fault()),
            ];
            for change in &changes {
                assert!(
                    !Entity::change(db, old.fence(), 0, change).await.unwrap(),
                    "{change:?}"
                );
            }
            let untouched =
                "select count(*) from job_items where status = 'PENDING' and attempts = 0";
            assert_eq!(app.count(untouched).await, 2);
            for change in &changes[..2] {
                assert!(
                    Entity::change(db, new.fence(), 0, change).await.unwrap(),
                    "{change:?}"
                );
            }
            assert!(
                Entity::change(db, new.fence(), 0, &changes[3])
                    .await
                    .unwrap()
            );
            for change in &changes {
                assert!(
                    !Entity::change(db, new.fence(), 0, change).await.unwrap(),
                    "it is final: {change:?}"
                );
            }
            let revival =
                "update job_items set status = 'PENDING', error = null, completed_at = null,
                           next_run_at = now() where position = 0";
            assert!(db.execute_unprepared(revival).await.is_err());
            // Without a lease nobody may change an item either.
            app.execute("update jobs set lease_owner = null").await;
            let unknown = Fence {
                job_id: Uuid::new_v4(),
                claim_no: 1,
            };
            for fence in [new.fence(), unknown] {
                assert!(!Entity::change(db, fence, 1, &changes[0]).await.unwrap());
            }
        })
        .await;
}

#[tokio::test]
async fn the_schema_refuses_items_that_make_no_sense() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            app.batch(&user, &["a fox"], 1).await;
            for nonsense in [
                "status = 'SUBMITTED'",
                "status = 'COMPLETED', next_run_at = null, completed_at = now()",
                "status = 'FAILED', next_run_at = null, completed_at = now()",
                "object_key = 'x', file_id = gen_random_uuid(), mime_type = 'image/png'",
                "upstream_id = 'task-1'",
                "next_run_at = null",
                "prompt = ''",
                "tries = 1",
                "position = -1",
            ] {
                let sql = format!("update job_items set {nonsense}");
                assert!(
                    app.ctx.db.execute_unprepared(&sql).await.is_err(),
                    "{nonsense}"
                );
            }
        })
        .await;
}

#[tokio::test]
async fn the_books_show_a_batch_that_is_charged_for_more_than_it_delivered() {
    test_app()
        .worker()
        .run(async |app| {
            let user = app.user().await;
            let id = app.batch(&user, &["a fox", "a hare"], 2).await;
            assert_eq!(app.final_job(&user, &id).await["status"], "COMPLETED");
            app.assert_clean_books().await;
            app.execute(&format!(
                "insert into job_items (job_id, position, prompt, status, error, completed_at, next_run_at)
                 values ('{id}', 2, 'an owl', 'FAILED', 'It failed.', now(), null)"
            ))
            .await;
            let violations = invariants::check(&app.ctx.db, 0).await.unwrap();
            let names: Vec<&str> = violations.iter().map(|violation| violation.invariant).collect();
            assert_eq!(names, ["I10 a final batch is captured for exactly the items that it delivered"]);
            app.execute("delete from job_items where position = 2").await;
        })
        .await;
}
