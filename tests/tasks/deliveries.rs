//! `cargo loco jobs`: commands about deliveries, none of which can lose a job or its credits.

use serde_json::json;

use super::run;
use crate::support::{TestApp, TestUser, processes::Installation, test_app};

async fn three_jobs(app: &TestApp, user: &TestUser) -> Vec<String> {
    let mut ids = Vec::new();
    for _ in 0..3 {
        let body = json!({"prompt": "a fox", "providerOptions": {"width": 64, "height": 64}});
        ids.push(app.generate(user, body).await);
    }
    ids
}

async fn deliveries(app: &TestApp, status: &str) -> i64 {
    app.count(&format!(
        "select count(*) from apalis.jobs where status = '{status}' and job_type = 'image-generation-queue'"
    ))
    .await
}

/// A worker process of its own finishes every job, each paid once.
async fn assert_all_get_done(app: &TestApp, user: &TestUser, ids: &[String]) {
    let installation = Installation {
        database_uri: &app.database.uri,
        bucket: &app.bucket,
        bfl: None,
    };
    let _worker = installation.worker();
    for id in ids {
        assert_eq!(app.final_job(user, id).await["status"], "COMPLETED");
    }
    assert_eq!(app.credits(user).await, 17);
    assert_eq!(app.count("select count(*) from usage_events").await, 3);
}

#[tokio::test]
async fn no_command_loses_a_job() {
    let commands: [&[&str]; 5] = [
        &["jobs", "cancel", "--name", "ImageGenerationWorker"],
        &["jobs", "tidy"],
        &["jobs", "purge", "--max-age", "0"],
        &["jobs", "requeue"],
        &["jobs", "retry"],
    ];
    test_app()
        .run(async |app| {
            let user = app.user().await;
            let ids = three_jobs(app, &user).await;
            for command in commands {
                let (is_fine, text) = run(app, command).await;
                assert!(is_fine, "{command:?}: {text}");
                let waiting =
                    "select count(*) from jobs where status = 'PENDING' and next_run_at <= now()";
                assert_eq!(app.count(waiting).await, 3, "{command:?}");
                assert_eq!(app.credits(&user).await, 17, "{command:?}");
            }
            assert_eq!(app.count("select count(*) from apalis.jobs").await, 0);
            assert_all_get_done(app, &user, &ids).await;
        })
        .await;
}

#[tokio::test]
async fn cancel_strikes_deliveries_off_and_tidy_removes_them() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            let ids = three_jobs(app, &user).await;
            run(app, &["jobs", "cancel", "--name", "SomeOtherWorker"]).await;
            assert_eq!(deliveries(app, "Pending").await, 3);
            run(app, &["jobs", "cancel", "--name", "ImageGenerationWorker"]).await;
            assert_eq!(
                (
                    deliveries(app, "Pending").await,
                    deliveries(app, "Killed").await
                ),
                (0, 3)
            );
            run(app, &["jobs", "tidy"]).await;
            assert_eq!(deliveries(app, "Killed").await, 0);
            assert_all_get_done(app, &user, &ids).await;
        })
        .await;
}

#[tokio::test]
async fn purge_looks_at_age_and_status() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            let ids = three_jobs(app, &user).await;
            run(app, &["jobs", "purge", "--max-age", "1"]).await;
            assert_eq!(deliveries(app, "Pending").await, 3, "younger than a day");
            app.execute("update apalis.jobs set run_at = run_at - interval '2 days'")
                .await;
            run(
                app,
                &["jobs", "purge", "--max-age", "1", "--status", "completed"],
            )
            .await;
            assert_eq!(deliveries(app, "Pending").await, 3, "of another status");
            let folder = app.bucket.root.join("dumps");
            let folder_text = folder.display().to_string();
            let (is_fine, text) = run(
                app,
                &["jobs", "purge", "--max-age", "1", "--dump", &folder_text],
            )
            .await;
            assert!(is_fine && text.contains("dumped to"), "{text}");
            assert_eq!(deliveries(app, "Pending").await, 0);
            assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
            assert_all_get_done(app, &user, &ids).await;
        })
        .await;
}

#[tokio::test]
async fn a_dump_is_imported_into_the_queues_it_came_from() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            let ids = three_jobs(app, &user).await;
            let folder = app.bucket.root.join("dumps");
            let folder_text = folder.display().to_string();
            let (is_fine, text) = run(app, &["jobs", "dump", "--folder", &folder_text]).await;
            assert!(is_fine && text.contains("dumped to"), "{text}");
            let file = std::fs::read_dir(&folder)
                .unwrap()
                .next()
                .unwrap()
                .unwrap()
                .path();
            let dumped = std::fs::read_to_string(&file).unwrap();
            for id in &ids {
                assert!(dumped.contains(id), "{dumped}");
            }
            assert!(
                !dumped.contains("a fox"),
                "deliveries hold ids only: {dumped}"
            );
            app.execute("delete from apalis.jobs").await;
            let file = file.display().to_string();
            let (is_fine, text) = run(app, &["jobs", "import", "--file", &file]).await;
            assert!(is_fine, "{text}");
            assert_eq!(deliveries(app, "Pending").await, 3);
            let tagged =
                "select count(*) from apalis.jobs where convert_from(job, 'UTF8') like '%queue:%'";
            assert_eq!(app.count(tagged).await, 0, "the tag ends with the import");
            let (is_fine, _) = run(app, &["jobs", "import", "--file", "/nowhere.yaml"]).await;
            assert!(!is_fine);
            assert_all_get_done(app, &user, &ids).await;
        })
        .await;
}

#[tokio::test]
async fn retry_hands_failed_deliveries_out_again() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            let ids = three_jobs(app, &user).await;
            app.execute(
                "update apalis.jobs set status = 'Failed', attempts = max_attempts, done_at = now()",
            )
            .await;
            let (is_fine, text) = run(app, &["jobs", "retry", "--id", "nobody"]).await;
            assert!(is_fine && text.contains("0 job(s) moved"), "{text}");
            let (is_fine, text) = run(app, &["jobs", "retry"]).await;
            assert!(is_fine && text.contains("3 job(s) moved"), "{text}");
            assert_eq!(deliveries(app, "Pending").await, 3);
            assert_all_get_done(app, &user, &ids).await;
        })
        .await;
}

#[tokio::test]
async fn requeue_takes_deliveries_from_dead_workers_only() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            let ids = three_jobs(app, &user).await;
            app.execute(
                "insert into apalis.workers (id, worker_type, storage_name, last_seen) values
                    ('alive', 'image-generation-queue', 's', now() + interval '1 hour'),
                    ('dead', 'image-generation-queue', 's', now() - interval '1 minute')",
            )
            .await;
            app.execute(
                "update apalis.jobs set status = 'Running', lock_at = now() - interval '10 minutes',
                    lock_by = case when id = (select min(id) from apalis.jobs) then 'alive' else 'dead' end",
            )
            .await;
            run(app, &["jobs", "requeue", "--from-age", "15"]).await;
            assert_eq!(deliveries(app, "Running").await, 3, "too young");
            run(app, &["jobs", "purge", "--max-age", "0", "--status", "processing"]).await;
            assert_eq!(deliveries(app, "Running").await, 1, "a live worker's delivery stays");
            app.execute(
                "update apalis.jobs set lock_by = 'dead'",
            )
            .await;
            run(app, &["jobs", "requeue", "--from-age", "5"]).await;
            assert_eq!((deliveries(app, "Running").await, deliveries(app, "Pending").await), (0, 1));
            assert_all_get_done(app, &user, &ids).await;
        })
        .await;
}

/// The listing of `dump` shows what `cargo loco jobs` shows elsewhere.
#[tokio::test]
async fn a_dump_names_states_as_the_commands_do() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            three_jobs(app, &user).await;
            let folder = app.bucket.root.join("dumps").display().to_string();
            for (status, expected) in [("queued", 3), ("failed", 0)] {
                let folder = format!("{folder}/{status}");
                let (is_fine, text) = run(
                    app,
                    &["jobs", "dump", "--status", status, "--folder", &folder],
                )
                .await;
                assert!(is_fine, "{text}");
                let file = std::fs::read_dir(&folder)
                    .unwrap()
                    .next()
                    .unwrap()
                    .unwrap()
                    .path();
                let dumped = std::fs::read_to_string(file).unwrap();
                let found = dumped.matches("status: queued").count();
                assert_eq!(found, expected, "{dumped}");
            }
        })
        .await;
}
