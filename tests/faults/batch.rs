//! `kill -9` of the worker in the middle of a batch: another one ends it, nothing is lost, done or
//! charged twice.

use serde_json::json;

use crate::support::{
    TestApp, TestUser,
    bfl::{Bfl, Point},
    processes::Installation,
    test_app,
};

const PROMPTS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// What the worker is doing when it dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// Three items are being submitted.
    Submitting,
    /// Two items are done, the others wait upstream or are not begun.
    HalfDone,
    /// Three items are being downloaded.
    Downloading,
    /// The pictures of three items are being uploaded.
    Uploading,
    /// All items are done; the transaction that ends the batch waits for a lock.
    Ending,
}

async fn assert_done_once(app: &TestApp, user: &TestUser, bfl: &Bfl, id: &str, most: usize) {
    let job = app.final_job(user, id).await;
    assert_eq!(job["status"], "COMPLETED", "{job}");
    assert_eq!(job["metadata"]["resultCount"], 6, "{job}");
    for prompt in PROMPTS {
        let submissions = bfl.submissions_of(prompt);
        assert!(
            (1..=most).contains(&submissions),
            "{prompt}: {submissions} submissions"
        );
    }
    assert_eq!(app.bucket.keys("generated-images").len(), 6);
    assert_eq!(app.count("select count(*) from r2_files").await, 6);
    assert_eq!(
        app.count("select count(distinct file_id) from job_items where status = 'COMPLETED'")
            .await,
        6
    );
    let captures = "select count(*) from credit_transactions where kind = 'capture'";
    assert_eq!(app.count(captures).await, 1);
    assert_eq!(app.credits(user).await, 14);
    let finished = "select count(*) from job_events where payload ->> 'status' = 'COMPLETED'";
    assert_eq!(app.count(finished).await, 1);
}

async fn kill_at(moment: Moment) {
    let bfl = Bfl::start().await;
    let pending = json!({"status": "Pending"});
    if moment == Moment::HalfDone {
        for prompt in &PROMPTS[2..] {
            bfl.answer_polls_of(prompt, [pending.clone()]);
        }
    }
    test_app()
        .flux(&bfl)
        .run(async |app| {
            let user = app.user().await;
            let installation = Installation {
                database_uri: &app.database.uri,
                bucket: &app.bucket,
                bfl: Some(&bfl),
            };
            match moment {
                Moment::Submitting => bfl.close(Point::Submit),
                Moment::Downloading => bfl.close(Point::Download),
                Moment::Uploading => app.bucket.close_gate(),
                Moment::HalfDone | Moment::Ending => {}
            }
            let id = app.batch(&user, &PROMPTS, 3).await;
            let mut lock = None;
            if moment == Moment::Ending {
                let pool = app.ctx.db.get_postgres_connection_pool();
                let mut txn = pool.begin().await.unwrap();
                sqlx::query("select 1 from credit_accounts for update")
                    .execute(&mut *txn)
                    .await
                    .unwrap();
                lock = Some(txn);
            }
            let mut victim = installation.worker();
            match moment {
                Moment::Submitting => bfl.arrived(Point::Submit, 3).await,
                Moment::Downloading => bfl.arrived(Point::Download, 3).await,
                Moment::Uploading => app.bucket.uploads_wait(3).await,
                Moment::HalfDone => {
                    app.until("two items to be done and others to wait", || async {
                        let done = "select count(*) from job_items where status = 'COMPLETED'";
                        let waits = "select count(*) from job_items where status = 'SUBMITTED'";
                        (app.count(done).await == 2 && app.count(waits).await == 3).then_some(())
                    })
                    .await;
                }
                Moment::Ending => {
                    app.until("the ending transaction", || async {
                        let done = "select count(*) from job_items where status = 'COMPLETED'";
                        let waiting = "select count(*) from pg_stat_activity
                                       where wait_event_type = 'Lock' and datname = current_database()";
                        (app.count(done).await == 6 && app.count(waiting).await > 0).then_some(())
                    })
                    .await;
                }
            }
            let _heir = installation.worker();
            victim.kill();
            app.lapse_leases().await;
            drop(lock);
            for prompt in PROMPTS {
                bfl.answer_polls_of(prompt, [json!({"status": "Ready"})]);
            }
            bfl.open(Point::Submit);
            bfl.open(Point::Download);
            app.bucket.open_gate();
            let most = if moment == Moment::Submitting { 2 } else { 1 };
            assert_done_once(app, &user, &bfl, &id, most).await;
        })
        .await;
}

#[tokio::test]
async fn killed_while_submitting_items() {
    kill_at(Moment::Submitting).await;
}

#[tokio::test]
async fn killed_with_some_items_done() {
    kill_at(Moment::HalfDone).await;
}

#[tokio::test]
async fn killed_while_downloading_items() {
    kill_at(Moment::Downloading).await;
}

#[tokio::test]
async fn killed_while_uploading_items() {
    kill_at(Moment::Uploading).await;
}

#[tokio::test]
async fn killed_before_the_end_of_the_batch_is_committed() {
    kill_at(Moment::Ending).await;
}

#[tokio::test]
async fn a_worker_told_to_stop_hands_its_batch_on_at_once() {
    let bfl = Bfl::start().await;
    bfl.close(Point::Download);
    test_app()
        .flux(&bfl)
        .run(async |app| {
            let user = app.user().await;
            let installation = Installation {
                database_uri: &app.database.uri,
                bucket: &app.bucket,
                bfl: Some(&bfl),
            };
            let mut first = installation.worker();
            let id = app.batch(&user, &PROMPTS, 3).await;
            bfl.arrived(Point::Download, 3).await;
            assert!(first.terminate().await, "it ends within its drain time");
            let free =
                "select count(*) from jobs where status = 'PROCESSING' and lease_owner is null";
            assert_eq!(app.count(free).await, 1, "the lease was given back");
            bfl.open(Point::Download);
            let _second = installation.worker();
            assert_done_once(app, &user, &bfl, &id, 1).await;
            assert_eq!(app.count("select rescues::bigint from jobs").await, 0);
        })
        .await;
}
