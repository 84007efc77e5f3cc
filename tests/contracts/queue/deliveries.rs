//! What a delivery is: part of a transaction, on time, in order, harmless when it comes twice.

use std::time::Duration;

use daygen::{
    models::begin,
    queue::{Delivery, carrier},
};
use serde_json::json;

use super::{NEVER_MS, QUEUE, WORKER, assert_all_completed, sides::Side, small};
use crate::support::{TestApp, test_app};

over_carriers!(
    a_delivery_comes_with_the_commit_and_not_with_a_roll_back,
    what_is_refused_leaves_no_delivery,
    a_delayed_delivery_comes_on_time,
    higher_priority_goes_first,
    repeated_deliveries_work_a_job_once,
    no_more_steps_run_than_there_are_slots,
);

fn delivery(job: &str, delay_ms: i64) -> Delivery {
    Delivery {
        queue: QUEUE.to_owned(),
        worker: WORKER.to_owned(),
        job_id: job.parse().unwrap(),
        delay_ms,
        priority: 0,
    }
}

async fn deliver(app: &TestApp, job: &str, delay_ms: i64) {
    let carrier = carrier(&app.ctx).unwrap();
    let txn = begin(&app.ctx.db).await.unwrap();
    carrier
        .deliver(&txn, &[delivery(job, delay_ms)])
        .await
        .unwrap();
    txn.commit().await.unwrap();
    carrier.committed();
}

async fn a_delivery_comes_with_the_commit_and_not_with_a_roll_back(side: &dyn Side) {
    side.held(test_app())
        .set("/jobs/duty_interval_ms", NEVER_MS)
        .run(async |app| {
            let user = app.user().await;
            let id = app.generate(&user, small()).await;
            side.on_their_way(app, 1).await;
            side.lose(app, 0).await;
            assert_eq!(side.deliveries(app).await, 0);
            let txn = begin(&app.ctx.db).await.unwrap();
            let carrier = carrier(&app.ctx).unwrap();
            carrier.deliver(&txn, &[delivery(&id, 0)]).await.unwrap();
            txn.rollback().await.unwrap();
            assert_eq!(side.deliveries(app).await, 0);
            deliver(app, &id, 0).await;
            assert_eq!(side.deliveries(app).await, 1);
            side.release(app);
            assert_all_completed(app, &user, &[id]).await;
        })
        .await;
}

async fn what_is_refused_leaves_no_delivery(side: &dyn Side) {
    side.held(test_app())
        .run(async |app| {
            let user = app.user().await;
            app.leave_credits(&user, 0).await;
            let answer = app
                .post("/api/image/flux", Some(&user.token), small())
                .await;
            assert_eq!(answer.status, 402);
            assert_eq!(side.deliveries(app).await, 0);
            assert_eq!(app.count("select count(*) from jobs").await, 0);
        })
        .await;
}

async fn a_delayed_delivery_comes_on_time(side: &dyn Side) {
    side.held(test_app())
        .set("/jobs/duty_interval_ms", NEVER_MS)
        .run(async |app| {
            let user = app.user().await;
            let id = app.generate(&user, small()).await;
            side.on_their_way(app, 1).await;
            // Not due, so that the duty's turn at the start has no reason to send a delivery.
            app.execute("update jobs set next_run_at = now() + interval '1 hour'")
                .await;
            side.lose(app, 0).await;
            side.release(app);
            // The second object went in a later round of the duties than the first.
            for key in ["uploads/none/1", "uploads/none/2"] {
                let noted = "select count(*) from object_deletions";
                app.execute(&format!(
                    "insert into object_deletions (object_key) values ('{key}')"
                ))
                .await;
                app.until("a round of the duties", || async {
                    (app.count(noted).await == 0).then_some(())
                })
                .await;
            }
            app.execute("update jobs set next_run_at = now()").await;
            let asked = std::time::Instant::now();
            deliver(app, &id, 700).await;
            let started = "select count(*) from jobs where started_at is not null";
            app.until("the claim", || async {
                (app.count(started).await == 1).then_some(())
            })
            .await;
            // Not before its time; how soon after it depends on the machine.
            let took = asked.elapsed();
            assert!(took >= Duration::from_millis(690), "{took:?}");
            assert_all_completed(app, &user, &[id]).await;
        })
        .await;
}

async fn higher_priority_goes_first(side: &dyn Side) {
    side.held(test_app())
        .set("/queue/concurrency", json!({ QUEUE: 1 }))
        .run(async |app| {
            let user = app.user().await;
            let mut ids = Vec::new();
            for _ in 0..4 {
                ids.push(app.generate(&user, small()).await);
            }
            side.on_their_way(app, 4).await;
            app.execute(&format!("update jobs set priority = 5 where id = '{}'", ids[2]))
                .await;
            side.release(app);
            assert_all_completed(app, &user, &ids).await;
            for (place, id) in [&ids[2], &ids[0], &ids[1], &ids[3]].iter().enumerate() {
                let sql = format!(
                    "select count(*) from jobs a join jobs b on b.started_at < a.started_at where a.id = '{id}'"
                );
                assert_eq!(app.count(&sql).await, i64::try_from(place).unwrap());
            }
        })
        .await;
}

async fn repeated_deliveries_work_a_job_once(side: &dyn Side) {
    side.held(test_app())
        .run(async |app| {
            let user = app.user().await;
            let id = app.generate(&user, small()).await;
            side.release(app);
            side.repeat(app, &id).await;
            assert_all_completed(app, &user, std::slice::from_ref(&id)).await;
            side.repeat(app, &id).await;
            app.until("the deliveries to be done", || async {
                (side.deliveries(app).await == 0).then_some(())
            })
            .await;
            assert_eq!(app.count("select claim_no::bigint from jobs").await, 1);
            assert_eq!(app.count("select count(*) from r2_files").await, 1);
            assert_eq!(app.credits(&user).await, 19);
        })
        .await;
}

async fn no_more_steps_run_than_there_are_slots(side: &dyn Side) {
    side.held(test_app())
        .set("/queue/concurrency", json!({ QUEUE: 2 }))
        .run(async |app| {
            let mut jobs = Vec::new();
            for _ in 0..4 {
                let user = app.user().await;
                for _ in 0..2 {
                    jobs.push((user.clone(), app.generate(&user, small()).await));
                }
            }
            side.on_their_way(app, 8).await;
            // Uploads wait, so that each step lasts.
            app.bucket.close_gate();
            side.release(app);
            app.bucket.upload_waits().await;
            let leased = "select count(*) from jobs where lease_owner is not null";
            app.until("both slots to be taken", || async {
                (app.count(leased).await == 2).then_some(())
            })
            .await;
            app.bucket.open_gate();
            let done = "select count(*) from jobs where status = 'COMPLETED'";
            app.until("all jobs", || async {
                let now = app.count(leased).await;
                assert!(now <= 2, "{now} steps at once");
                (app.count(done).await == 8).then_some(())
            })
            .await;
        })
        .await;
}
