//! No job is stranded: deliveries that are lost, carriers that are away, and limits that hold jobs back.

use std::time::{Duration, Instant};

use super::{NEVER_MS, assert_all_completed, sides::Side, small};
use crate::support::{TestApp, TestUser, test_app};

over_carriers!(
    a_delivery_lost_by_hand_is_replaced,
    jobs_are_admitted_while_the_carrier_is_away_and_all_run_once,
    jobs_at_the_running_limit_go_on_one_after_the_other,
    deliveries_used_up_in_vain_are_given_again,
    #[ignore = "the carrier is away for a minute"]
    a_minute_without_the_carrier_loses_and_doubles_nothing,
);

async fn admit(app: &TestApp, user: &TestUser, n: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for _ in 0..n {
        ids.push(app.generate(user, small()).await);
    }
    ids
}

async fn a_delivery_lost_by_hand_is_replaced(side: &dyn Side) {
    for way in 0..side.losses() {
        side.held(test_app())
            .run(async |app| {
                let user = app.user().await;
                let ids = admit(app, &user, 3).await;
                side.on_their_way(app, 3).await;
                side.lose(app, way).await;
                side.release(app);
                assert_all_completed(app, &user, &ids).await;
            })
            .await;
    }
}

/// Admits jobs while the carrier is away for `length`, and follows them to their ends.
async fn outage(side: &dyn Side, way: usize, length: Duration, per_turn: usize) {
    side.held(test_app())
        .run(async |app| {
            let users = [app.user().await, app.user().await];
            for user in &users {
                app.leave_credits(user, 500).await;
            }
            side.begin_outage(app, way).await;
            let began = Instant::now();
            let mut jobs = Vec::new();
            while jobs.is_empty() || began.elapsed() < length {
                for user in &users {
                    // `generate` insists on 201.
                    jobs.push((user, admit(app, user, per_turn).await));
                }
                app.until("some time to pass", || async {
                    let due = began.elapsed() >= length;
                    let paced = app
                        .count(
                            "select count(*) from jobs where created_at > now() - interval '0.3 s'",
                        )
                        .await
                        == 0;
                    (due || paced).then_some(())
                })
                .await;
            }
            assert_eq!(
                app.count("select count(*) from jobs where status <> 'PENDING'")
                    .await,
                0
            );
            side.end_outage(app).await;
            for (user, ids) in &jobs {
                assert_all_completed(app, user, ids).await;
            }
            let admitted: usize = jobs.iter().map(|(_, ids)| ids.len()).sum();
            let admitted = i64::try_from(admitted).unwrap();
            assert_eq!(
                app.count("select sum(claim_no) from jobs").await,
                admitted,
                "each ran once"
            );
            assert_eq!(app.count("select count(*) from r2_files").await, admitted);
        })
        .await;
}

async fn jobs_are_admitted_while_the_carrier_is_away_and_all_run_once(side: &dyn Side) {
    for way in 0..side.outages() {
        outage(side, way, Duration::from_millis(1_500), 2).await;
    }
}

async fn a_minute_without_the_carrier_loses_and_doubles_nothing(side: &dyn Side) {
    for way in 0..side.outages() {
        outage(side, way, Duration::from_secs(60), 1).await;
    }
}

async fn jobs_at_the_running_limit_go_on_one_after_the_other(side: &dyn Side) {
    side.held(test_app())
        .set("/jobs/max_running_per_user", 1)
        .set("/jobs/duty_interval_ms", NEVER_MS)
        .run(async |app| {
            let user = app.user().await;
            side.release(app);
            let ids = admit(app, &user, 6).await;
            assert_all_completed(app, &user, &ids).await;
            assert_eq!(app.credits(&user).await, 14);
        })
        .await;
}

/// Every due job is at its limit while its delivery comes: the delivery is used up, the job is not lost.
async fn deliveries_used_up_in_vain_are_given_again(side: &dyn Side) {
    side.held(test_app())
        .set("/jobs/max_running_per_user", 2)
        .run(async |app| {
            let user = app.user().await;
            let ids = admit(app, &user, 2).await;
            side.on_their_way(app, 2).await;
            // Two more jobs run elsewhere, so that nothing may be claimed.
            app.execute(
                "insert into jobs (id, user_id, type, queue, provider, model, input, cost, claim_no, lease_owner,
                                   status, next_run_at, deadline_at)
                 select gen_random_uuid(), user_id, type, queue, provider, model, input, 0, 1, gen_random_uuid(),
                        'PROCESSING', now() + interval '1 hour', now() + interval '1 hour' from jobs",
            )
            .await;
            side.release(app);
            app.until("the deliveries to be used up", || async {
                (side.deliveries(app).await == 0).then_some(())
            })
            .await;
            assert_eq!(app.count("select count(*) from jobs where status = 'PENDING'").await, 2);
            app.execute("delete from jobs where cost = 0").await;
            assert_all_completed(app, &user, &ids).await;
        })
        .await;
}
