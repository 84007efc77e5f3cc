//! `kill -9` of the worker that has a job: another one ends it, once.

use daygen::jobs::duties::LEADER_LOCK;
use serde_json::json;

use crate::support::{
    TestApp, TestUser,
    bfl::{Bfl, Point},
    processes::{Installation, Pace, Process},
    test_app,
};

/// The step in which the worker dies.
#[derive(Debug, Clone, Copy)]
enum Moment {
    Submitting,
    AfterSubmission,
    Downloading,
    Uploading,
    /// Uploaded; the transaction that completes the job waits for a lock.
    Completing,
    Completed,
}

/// Holds the user's accounts in a transaction of its own until it is dropped.
async fn lock_accounts(app: &TestApp) -> sqlx::Transaction<'static, sqlx::Postgres> {
    let pool = app.ctx.db.get_postgres_connection_pool();
    let mut txn = pool.begin().await.unwrap();
    sqlx::query("select 1 from credit_accounts for update")
        .execute(&mut *txn)
        .await
        .unwrap();
    txn
}

async fn assert_done_once(app: &TestApp, user: &TestUser, bfl: &Bfl, id: &str, submissions: usize) {
    let job = app.final_job(user, id).await;
    assert_eq!(job["status"], "COMPLETED", "{job}");
    assert!(
        bfl.submissions().len() <= submissions,
        "{} submissions",
        bfl.submissions().len()
    );
    assert_eq!(app.bucket.keys("generated-images").len(), 1);
    assert_eq!(app.count("select count(*) from r2_files").await, 1);
    assert_eq!(
        app.count("select count(*) from credit_transactions where kind = 'capture'")
            .await,
        1
    );
    assert_eq!(app.credits(user).await, 19);
}

/// How the lease of the dead worker runs out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leases {
    LapsedByHand,
    /// They are short, and so may lapse on a busy machine too.
    Short,
}

async fn kill_at(moment: Moment, has_heir: bool, leases: Leases) {
    let bfl = Bfl::start().await;
    test_app()
        .flux(&bfl)
        .run(async |app| {
            let user = app.user().await;
            let installation = Installation {
                database_uri: &app.database.uri,
                bucket: &app.bucket,
                bfl: Some(&bfl),
            };
            let worker = || {
                installation.worker_at(match leases {
                    Leases::LapsedByHand => Pace::Scaled,
                    Leases::Short => Pace::ShortLeases,
                })
            };
            let gate = match moment {
                Moment::Submitting => Some(Point::Submit),
                Moment::AfterSubmission => Some(Point::Poll),
                // The lock is taken while the worker downloads: not before the admission needs it.
                Moment::Downloading | Moment::Completing => Some(Point::Download),
                Moment::Uploading | Moment::Completed => None,
            };
            if let Some(point) = gate {
                bfl.close(point);
            }
            if matches!(moment, Moment::Uploading) {
                app.bucket.close_gate();
            }
            let mut victim = worker();
            let id = app.generate(&user, json!({"prompt": "a fox"})).await;
            let mut lock = None;
            match moment {
                Moment::Uploading => app.bucket.upload_waits().await,
                Moment::Completing => {
                    bfl.arrived(Point::Download, 1).await;
                    lock = Some(lock_accounts(app).await);
                    bfl.open(Point::Download);
                    let waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";
                    app.until("the completing transaction", || async {
                        (app.count(waiting).await > 0).then_some(())
                    })
                    .await;
                }
                Moment::Completed => {
                    app.final_job(&user, &id).await;
                }
                Moment::Submitting | Moment::AfterSubmission | Moment::Downloading => {
                    bfl.arrived(gate.unwrap(), 1).await;
                }
            }
            let heir: Option<Process> = has_heir.then(worker);
            victim.kill();
            if leases == Leases::LapsedByHand {
                app.lapse_leases().await;
            }
            drop(lock);
            if let Some(point) = gate {
                bfl.open(point);
            }
            app.bucket.open_gate();
            let _successor = heir.unwrap_or_else(worker);
            let submissions = if matches!(moment, Moment::Submitting) { 2 } else { 1 };
            assert_done_once(app, &user, &bfl, &id, submissions).await;
        })
        .await;
}

#[tokio::test]
async fn killed_while_submitting() {
    kill_at(Moment::Submitting, true, Leases::LapsedByHand).await;
}

#[tokio::test]
async fn killed_after_the_submission_was_stored() {
    kill_at(Moment::AfterSubmission, true, Leases::LapsedByHand).await;
}

#[tokio::test]
async fn killed_while_downloading() {
    kill_at(Moment::Downloading, true, Leases::LapsedByHand).await;
}

#[tokio::test]
async fn killed_while_uploading() {
    kill_at(Moment::Uploading, true, Leases::LapsedByHand).await;
}

#[tokio::test]
async fn killed_before_the_completing_commit() {
    kill_at(Moment::Completing, true, Leases::LapsedByHand).await;
}

#[tokio::test]
async fn killed_right_after_the_completing_commit() {
    kill_at(Moment::Completed, true, Leases::LapsedByHand).await;
}

#[tokio::test]
async fn killed_alone_and_started_again() {
    kill_at(Moment::Uploading, false, Leases::Short).await;
}

#[tokio::test]
async fn a_worker_told_to_stop_hands_its_job_on_at_once() {
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
            let id = app.generate(&user, json!({"prompt": "a fox"})).await;
            bfl.arrived(Point::Download, 1).await;
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

/// A frozen process keeps its connections, and with them the lock of the duties' leader.
#[tokio::test]
async fn a_leader_that_is_frozen_gives_way() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            let installation = Installation {
                database_uri: &app.database.uri,
                bucket: &app.bucket,
                bfl: None,
            };
            let leader = installation.worker();
            app.until("a leader", || async {
                let locks = format!(
                    "select count(*) from pg_locks l join pg_database d on d.oid = l.database
                     where l.locktype = 'advisory' and l.granted and d.datname = current_database()
                       and (l.classid::bigint << 32) | l.objid::bigint = {LEADER_LOCK}"
                );
                (app.count(&locks).await == 1).then_some(())
            })
            .await;
            leader.freeze();
            let body = json!({"prompt": "a fox", "providerOptions": {"width": 64, "height": 64}});
            let id = app.generate(&user, body).await;
            // Only the duty can bring the job to a worker now.
            app.execute("delete from apalis.jobs").await;
            let _other = installation.worker();
            assert_eq!(app.final_job(&user, &id).await["status"], "COMPLETED");
        })
        .await;
}
