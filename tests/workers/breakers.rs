//! Breakers and places of a provider when batches and unlucky probes are at work.

use serde_json::{Value, json};

use crate::support::{
    TestApp,
    bfl::{Bfl, Point},
    test_app,
};

/// A machine that is busy must not make a submission be done again.
const HEARTBEAT: &str = "/jobs/heartbeat_ms";

fn breaker(failures: i32) -> Value {
    json!({"failures": failures, "window_ms": 600_000, "open_ms": 600_000, "max_open_ms": 600_000})
}

/// Leaves flux as it is when the open time of its breaker has just passed.
async fn half_open(app: &TestApp) {
    app.execute(
        "insert into provider_gates (provider, failures, trips, open_until) values ('flux', 1, 1, now())
         on conflict (provider) do update set failures = 1, trips = 1, open_until = now(), probe_until = null",
    )
    .await;
}

#[tokio::test]
async fn faults_with_successes_between_them_open_no_breaker() {
    let bfl = Bfl::start().await;
    let down = || [(500, json!({"detail": "down"}))];
    for prompt in ["a", "c", "e"] {
        bfl.fail_submissions_of(prompt, down());
    }
    test_app()
        .worker()
        .flux(&bfl)
        .set(HEARTBEAT, 10_000)
        .set("/generation/breaker", breaker(2))
        // Tries again when all others are done, so that the faults stay apart.
        .set("/jobs/backoff_base_ms", 3_000)
        .set("/jobs/backoff_max_ms", 3_000)
        .run(async |app| {
            let user = app.user().await;
            let prompts = ["a", "b", "c", "d", "e", "f"];
            let id = app.batch(&user, &prompts, 1).await;
            let job = app.final_job(&user, &id).await;
            assert_eq!(job["metadata"]["resultCount"], 6, "{job}");
            let clean = "select count(*) from provider_gates where provider = 'flux' and failures = 0 and trips = 0 and open_until is null";
            assert_eq!(app.count(clean).await, 1);
            // Looks are counted by themselves: those that succeed do not excuse submissions that fail.
            bfl.fail_submissions((0..2).map(|_| (500, json!({"detail": "down"}))));
            app.generate(&user, json!({"prompt": "a fox"})).await;
            app.until("the breaker to open", || async {
                let open = "select count(*) from provider_gates where provider = 'flux' and open_until > now()";
                (app.count(open).await == 1).then_some(())
            })
            .await;
        })
        .await;
}

#[tokio::test]
async fn a_probe_without_a_verdict_keeps_nobody_waiting() {
    let bfl = Bfl::start().await;
    test_app()
        .worker()
        .flux(&bfl)
        .set("/generation/breaker", breaker(1))
        .run(async |app| {
            let user = app.user().await;
            let closed = "select count(*) from provider_gates where provider = 'flux' and open_until is null";

            // A refusal of the request shows that the provider works.
            half_open(app).await;
            bfl.fail_submissions([(422, json!({"detail": "no"}))]);
            let refused = app.generate(&user, json!({"prompt": "a fox"})).await;
            assert_eq!(app.final_job(&user, &refused).await["status"], "FAILED");
            assert_eq!(app.count(closed).await, 1);

            // Being told to wait shows nothing: the next job tries.
            half_open(app).await;
            bfl.fail_submissions([(429, json!({"detail": "wait"}))]);
            let told_to_wait = app.generate(&user, json!({"prompt": "a fox"})).await;
            let ended = app.final_job(&user, &told_to_wait).await;
            assert_eq!(ended["status"], "COMPLETED", "{ended}");
            assert_eq!(app.count(closed).await, 1);

            // Nor does a probe that its owner does not want any more.
            half_open(app).await;
            let before = bfl.submissions().len();
            bfl.close(Point::Submit);
            let unwanted = app.generate(&user, json!({"prompt": "a fox"})).await;
            bfl.arrived(Point::Submit, before + 1).await;
            let path = format!("/api/jobs/{unwanted}/cancel");
            assert_eq!(
                app.post(&path, Some(&user.token), json!({})).await.status,
                202
            );
            let next = app.generate(&user, json!({"prompt": "a fox"})).await;
            assert_eq!(app.final_job(&user, &unwanted).await["status"], "CANCELLED");
            bfl.open(Point::Submit);
            assert_eq!(app.final_job(&user, &next).await["status"], "COMPLETED");
            assert_eq!(app.count(closed).await, 1);
        })
        .await;
}

#[tokio::test]
async fn a_batch_tries_a_provider_out_with_one_item() {
    let bfl = Bfl::start().await;
    bfl.fail_submissions((0..5).map(|_| (503, json!({"detail": "overloaded"}))));
    test_app()
        .worker()
        .flux(&bfl)
        .set(HEARTBEAT, 10_000)
        .set(
            "/generation/breaker",
            json!({"failures": 2, "window_ms": 600_000, "open_ms": 5_000, "max_open_ms": 5_000}),
        )
        .run(async |app| {
            let user = app.user().await;
            let id = app.batch(&user, &["a", "b", "c", "d", "e"], 5).await;
            bfl.arrived(Point::Submit, 5).await;
            app.until("the breaker to open", || async {
                let open = "select count(*) from provider_gates where provider = 'flux' and open_until > now()";
                (app.count(open).await == 1).then_some(())
            })
            .await;
            bfl.close(Point::Submit);
            bfl.arrived(Point::Submit, 6).await;
            // Those that do not try are told to wait, again and again; one that tries is not counted on.
            app.until("the others to wait", || async {
                let attempts = "select sum(attempts)::bigint from job_items";
                (app.count(attempts).await >= 15).then_some(())
            })
            .await;
            assert_eq!(bfl.submissions().len(), 6);
            bfl.open(Point::Submit);
            let job = app.final_job(&user, &id).await;
            assert_eq!(job["metadata"]["resultCount"], 5, "{job}");
        })
        .await;
}

#[tokio::test]
async fn a_batch_takes_a_place_and_a_start_for_each_of_its_tasks() {
    let bfl = Bfl::start().await;
    bfl.close(Point::Poll);
    test_app()
        .worker()
        .flux(&bfl)
        .set(HEARTBEAT, 10_000)
        .set(
            "/providers/flux/limits",
            json!({"max_running": 2, "starts_per_minute": 6}),
        )
        .run(async |app| {
            let (one, other) = (app.user().await, app.user().await);
            let batch = app.batch(&one, &["a", "b", "c", "d"], 4).await;
            bfl.arrived(Point::Poll, 2).await;
            let single = app.generate(&other, json!({"prompt": "a fox"})).await;
            let gate = "select (running * 100 - floor(tokens))::bigint from provider_gates where provider = 'flux'";
            assert_eq!(
                app.count(gate).await,
                203,
                "two places, and four starts of the one that there was"
            );
            assert_eq!(bfl.submissions().len(), 2);
            bfl.open(Point::Poll);
            let ended = app.final_job(&one, &batch).await;
            assert_eq!(ended["metadata"]["resultCount"], 4, "{ended}");
            assert_eq!(bfl.peak(), 2);
            assert_eq!(app.job(&other, &single).await["status"], "PENDING");
            app.execute("update provider_gates set refilled_at = now() - interval '5 minutes'")
                .await;
            assert_eq!(app.final_job(&other, &single).await["status"], "COMPLETED");
        })
        .await;
}

#[tokio::test]
async fn a_batch_whose_turn_is_over_lets_others_go_first() {
    let bfl = Bfl::start().await;
    bfl.close(Point::Submit);
    test_app()
        .worker()
        .flux(&bfl)
        .set(HEARTBEAT, 10_000)
        .set("/queue/concurrency/batch-generation-queue", 1)
        .set("/jobs/batch_turn_ms", 1)
        .run(async |app| {
            let user = app.user().await;
            let long = app.batch(&user, &["a", "b", "c"], 1).await;
            bfl.arrived(Point::Submit, 1).await;
            let short = app.batch(&user, &["z"], 1).await;
            bfl.open(Point::Submit);
            for id in [&long, &short] {
                assert_eq!(app.final_job(&user, id).await["status"], "COMPLETED");
            }
            let order = bfl.submissions();
            let order: Vec<&str> = order
                .iter()
                .filter_map(|body| body["prompt"].as_str())
                .collect();
            assert_eq!(order, ["a", "z", "b", "c"]);
        })
        .await;
}
