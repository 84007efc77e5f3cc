//! Limits and breakers of providers: what waits, what is refused, and that nothing is stranded.

use std::time::Duration;

use serde_json::json;

use crate::support::{
    bfl::{Bfl, Point},
    snapshot::stable,
    test_app,
};

const RUNNING: &str = "select count(*) from jobs where status = 'PROCESSING'";

#[tokio::test]
async fn a_provider_runs_no_more_jobs_than_its_limit_and_all_get_their_turn() {
    let bfl = Bfl::start().await;
    bfl.close(Point::Poll);
    test_app()
        .worker()
        .flux(&bfl)
        .set(
            "/providers/flux/limits",
            json!({"max_running": 2, "starts_per_minute": null}),
        )
        .run(async |app| {
            let users = [app.user().await, app.user().await, app.user().await];
            let mut jobs = Vec::new();
            for user in &users {
                for _ in 0..2 {
                    jobs.push((user, app.generate(user, json!({"prompt": "a fox"})).await));
                }
            }
            bfl.arrived(Point::Poll, 2).await;
            assert_eq!(app.count(RUNNING).await, 2);
            assert_eq!(
                app.count("select running::bigint from provider_gates where provider = 'flux'")
                    .await,
                2
            );
            bfl.open(Point::Poll);
            for (user, id) in &jobs {
                assert_eq!(app.final_job(user, id).await["status"], "COMPLETED");
            }
            assert_eq!(bfl.submissions().len(), 6);
            assert_eq!(
                app.count("select running::bigint from provider_gates where provider = 'flux'")
                    .await,
                0
            );
        })
        .await;
}

#[tokio::test]
async fn a_provider_starts_no_more_jobs_than_its_rate() {
    let bfl = Bfl::start().await;
    test_app()
        .worker()
        .flux(&bfl)
        // A burst of one; the next start is a minute away.
        .set(
            "/providers/flux/limits",
            json!({"max_running": null, "starts_per_minute": 1}),
        )
        .run(async |app| {
            let user = app.user().await;
            let first = app.generate(&user, json!({"prompt": "a fox"})).await;
            assert_eq!(app.final_job(&user, &first).await["status"], "COMPLETED");
            let second = app.generate(&user, json!({"prompt": "a fox"})).await;
            // Another provider's job that is admitted later passes it.
            let body = json!({"prompt": "a fox", "model": "ideogram"});
            let other = app
                .post("/api/image/ideogram", Some(&user.token), body)
                .await;
            let other = other.json["jobId"].as_str().unwrap().to_owned();
            assert_eq!(app.final_job(&user, &other).await["status"], "COMPLETED");
            assert_eq!(app.job(&user, &second).await["status"], "PENDING");
            app.execute("update provider_gates set refilled_at = now() - interval '1 minute'")
                .await;
            assert_eq!(app.final_job(&user, &second).await["status"], "COMPLETED");
        })
        .await;
}

#[tokio::test]
async fn a_provider_that_fails_again_and_again_is_left_alone_until_one_job_tried_it() {
    let bfl = Bfl::start().await;
    bfl.fail_submissions((0..2).map(|_| (500, json!({"detail": "down"}))));
    test_app()
        .worker()
        .flux(&bfl)
        .set("/generation/breaker", json!({"failures": 2, "window_ms": 60000, "open_ms": 600_000, "max_open_ms": 600_000}))
        .set("/jobs/max_tries", 3)
        .run(async |app| {
            let user = app.user().await;
            let id = app.generate(&user, json!({"prompt": "a fox"})).await;
            app.until("the breaker to open", || async {
                let open = "select count(*) from provider_gates where open_until > now()";
                (app.count(open).await == 1).then_some(())
            })
            .await;
            let refused = app
                .until("the door to know", || async {
                    let answer = app.post("/api/image/flux", Some(&user.token), json!({"prompt": "a fox"})).await;
                    (answer.status == 503).then_some(answer)
                })
                .await;
            assert!(refused.header("retry-after").is_some());
            insta::assert_json_snapshot!("suspended_provider", stable(&refused, &[]));
            app.until("the admitted job to wait", || async {
                (app.job(&user, &id).await["status"] == "PENDING").then_some(())
            })
            .await;
            assert_eq!(bfl.submissions().len(), 2);
            app.execute("update provider_gates set open_until = now()").await;
            assert_eq!(app.final_job(&user, &id).await["status"], "COMPLETED");
            let closed = "select count(*) from provider_gates where open_until is null and failures = 0 and trips = 0";
            assert_eq!(app.count(closed).await, 1);
        })
        .await;
}

#[tokio::test]
async fn a_job_whose_provider_stays_down_fails_at_its_deadline() {
    let bfl = Bfl::start().await;
    bfl.fail_submissions([(500, json!({"detail": "down"}))]);
    test_app()
        .worker()
        .flux(&bfl)
        .set(
            "/generation/breaker",
            json!({"failures": 1, "window_ms": 60000, "open_ms": 600_000, "max_open_ms": 600_000}),
        )
        .run(async |app| {
            let user = app.user().await;
            let id = app.generate(&user, json!({"prompt": "a fox"})).await;
            app.until("the job to wait", || async {
                let waiting = "select count(*) from jobs where status = 'PENDING' and tries = 1";
                (app.count(waiting).await == 1).then_some(())
            })
            .await;
            app.execute("update jobs set deadline_at = now()").await;
            let job = app.final_job(&user, &id).await;
            assert_eq!(job["status"], "FAILED", "{job}");
            assert_eq!(app.credits(&user).await, 20);
            assert_eq!(bfl.submissions().len(), 1);
        })
        .await;
}

#[tokio::test]
#[ignore = "minutes of work on a small machine; `cargo test -- --ignored`"]
async fn twenty_users_with_one_job_are_not_held_up_by_one_with_five_hundred() {
    test_app()
        .worker()
        .run(async |app| {
            // Everything is admitted before anything is due.
            app.execute(
                "create function later() returns trigger language plpgsql as $$ begin
                    new.next_run_at = now() + interval '1 hour';
                    return new; end $$",
            )
            .await;
            app.execute("create trigger later before insert on jobs for each row execute function later()")
                .await;
            let small_picture = json!({"prompt": "a fox", "providerOptions": {"width": 64, "height": 64}});
            let big = app.user().await;
            app.leave_credits(&big, 500).await;
            for _ in 0..500 {
                app.generate(&big, small_picture.clone()).await;
            }
            for _ in 0..20 {
                app.generate(&app.user().await, small_picture.clone()).await;
            }
            app.execute("update jobs set next_run_at = now()").await;
            app.within(Duration::from_secs(300), "all jobs", || async {
                let open = "select count(*) from jobs where status <> 'COMPLETED'";
                (app.count(open).await == 0).then_some(())
            })
            .await;
            let share = format!(
                "select (100 * extract(epoch from max(completed_at) filter (where user_id <> '{id}') - min(started_at))
                     / extract(epoch from max(completed_at) - min(started_at)))::bigint from jobs",
                id = big.id
            );
            let percent = app.count(&share).await;
            assert!(percent <= 10, "the twenty were done after {percent} % of the time");
        })
        .await;
}
