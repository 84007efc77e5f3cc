//! How batches end otherwise than by finishing: cancelled, raced, and that the charge is right.

use daygen::{generation::pipeline::Pipeline, jobs::leases::Leases};
use rand::Rng;
use serde_json::{Value, json};

use super::*;
use crate::support::random::seeded;

/// Claims the batch as a worker would, once it is due.
async fn claim(app: &TestApp) -> daygen::jobs::leases::Lease {
    let leases = Leases::of(&app.ctx).unwrap();
    let leases = &leases;
    app.until("the batch to be due", || async move {
        leases.claim(QUEUE).await.unwrap()
    })
    .await
}

#[tokio::test]
async fn a_cancelled_batch_keeps_and_charges_what_is_finished() {
    let bfl = Bfl::start().await;
    bfl.answer_polls_of("slow", [pending()]);
    test_app()
        .flux(&bfl)
        .run(async |app| {
            let user = app.user().await;
            let id = app.batch(&user, &["a fox", "slow", "never begun"], 1).await;
            let pipeline = Pipeline::of(&app.ctx).unwrap();
            let lease = claim(app).await;
            pipeline.step(&lease.job).await.unwrap();
            drop(lease);
            let lease = claim(app).await;
            pipeline.cancel_batch(&lease.job).await.unwrap();
            assert!(pipeline.cancel_batch(&lease.job).await.is_err(), "once");
            let job = app.job(&user, &id).await;
            assert_eq!(job["status"], "CANCELLED", "{job}");
            assert_eq!(job["metadata"]["resultCount"], 1);
            assert_eq!(job["metadata"]["items"][2]["code"], "CANCELLED");
            assert_consistent(app, &user, &job, 20).await;
            assert_eq!(bfl.submissions_of("never begun"), 0);
        })
        .await;
}

#[tokio::test]
async fn the_owner_cancels_a_running_batch_and_keeps_what_is_finished() {
    let bfl = Bfl::start().await;
    bfl.answer_polls_of("slow", [pending()]);
    test_app()
        .worker()
        .flux(&bfl)
        .run(async |app| {
            let user = app.user().await;
            let id = app.batch(&user, &["a fox", "slow", "never begun"], 1).await;
            app.until("the first picture", || async {
                (app.job(&user, &id).await["metadata"]["resultCount"] == 1).then_some(())
            })
            .await;
            let path = format!("/api/jobs/{id}/cancel");
            let answer = app.post(&path, Some(&user.token), json!({})).await;
            assert_eq!(answer.status, 202, "{}", answer.json);
            let job = app.final_job(&user, &id).await;
            assert_eq!(job["status"], "CANCELLED", "{job}");
            assert_eq!(job["metadata"]["resultCount"], 1, "{job}");
            assert_consistent(app, &user, &job, 20).await;
            assert_eq!(bfl.submissions_of("never begun"), 0);
        })
        .await;
}

#[tokio::test]
async fn a_batch_cancelled_before_it_begins_costs_nothing() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            let id = app.batch(&user, &["a fox", "a hare"], 1).await;
            let path = format!("/api/jobs/{id}/cancel");
            let answer = app.post(&path, Some(&user.token), json!({})).await;
            assert_eq!(answer.status, 200, "{}", answer.json);
            assert_eq!(app.job(&user, &id).await["status"], "CANCELLED");
            assert_eq!(app.credits(&user).await, 20);
            let closed = "select count(*) from job_items where status = 'FAILED' and error_code = 'CANCELLED'";
            assert_eq!(app.count(closed).await, 2);
        })
        .await;
}

#[tokio::test]
async fn while_the_breaker_is_open_a_batch_begins_no_items() {
    let bfl = Bfl::start().await;
    let fault = (503, json!({"detail": "overloaded"}));
    bfl.fail_submissions(vec![fault; 2]);
    worker(&bfl)
        .set("/generation/breaker/failures", 2)
        .set("/generation/breaker/open_ms", 1_500)
        .run(async |app| {
            let user = app.user().await;
            let id = app.batch(&user, &["a", "b", "c", "d", "e"], 2).await;
            let job = app.final_job(&user, &id).await;
            assert_eq!(job["metadata"]["resultCount"], 5, "{job}");
            assert_consistent(app, &user, &job, 20).await;
            assert!(app.count("select max(tries)::bigint from job_items").await <= 2);
        })
        .await;
}

/// A commit of an item may arrive after its step was given up; the end must count it.
#[tokio::test]
async fn an_item_that_ends_while_the_batch_is_ended_is_charged_too() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            let id = app.batch(&user, &["a fox", "a hare"], 2).await;
            let lease = claim(app).await;
            let pool = app.ctx.db.get_postgres_connection_pool();
            let mut late = pool.begin().await.unwrap();
            for sql in [
                "select id from jobs for no key update",
                "update job_items set status = 'COMPLETED', file_id = gen_random_uuid(), mime_type = 'image/png',
                        object_key = 'generated-images/late', next_run_at = null, completed_at = now()
                 where position = 0",
            ] {
                sqlx::query(sql).execute(&mut *late).await.unwrap();
            }
            let pipeline = Pipeline::of(&app.ctx).unwrap();
            let commit = async {
                app.until("the end to wait for the item", || async {
                    let waiting = "select count(*) from pg_stat_activity
                                   where wait_event_type = 'Lock' and datname = current_database()
                                     and query like '%$3::job_status%'";
                    (app.count(waiting).await > 0).then_some(())
                })
                .await;
                late.commit().await.unwrap();
            };
            let (ended, ()) = tokio::join!(pipeline.cancel_batch(&lease.job), commit);
            ended.unwrap();
            let job = app.job(&user, &id).await;
            assert_eq!(job["metadata"]["items"][0]["status"], "COMPLETED", "{job}");
            assert_eq!(app.credits(&user).await, 19);
        })
        .await;
}

#[tokio::test]
async fn whatever_becomes_of_the_items_the_charge_is_what_was_delivered() {
    let (seed, mut random) = seeded();
    let bfl = Bfl::start().await;
    worker(&bfl)
        // Faults of many items in a row are what this is about; the breaker has its own tests.
        .set("/generation/breaker/failures", 1_000)
        .run(async |app| {
            let user = app.user().await;
            app.leave_credits(&user, 200).await;
            let mut credits = 200;
            for round in 0..8 {
                let mut expected = Vec::new();
                let mut prompts = Vec::new();
                for n in 0..random.random_range(1..=12) {
                    let prompt = format!("prompt {round}-{n}");
                    let fate = random.random_range(0..6);
                    let ready = json!({"status": "Ready"});
                    match fate {
                        0 => bfl.answer_polls_of(&prompt, [pending(), moderated()]),
                        1 => bfl.answer_polls_of(&prompt, [json!({"status": "Failed"})]),
                        2 => bfl.answer_polls_of(
                            &prompt,
                            [pending(), pending(), pending(), pending(), ready],
                        ),
                        3 => bfl.fail_submissions_of(&prompt, [(500, json!({}))]),
                        4 => bfl.fail_submissions_of(&prompt, [(400, json!({"detail": "no"}))]),
                        _ => {}
                    }
                    let is_delivered = ![0, 1, 4].contains(&fate);
                    expected.push(if is_delivered { "COMPLETED" } else { "FAILED" });
                    prompts.push(prompt);
                }
                let prompts: Vec<&str> = prompts.iter().map(String::as_str).collect();
                let id = app
                    .batch(&user, &prompts, random.random_range(1..=10))
                    .await;
                let job = app.final_job(&user, &id).await;
                let statuses: Vec<&str> = job["metadata"]["items"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|item| item["status"].as_str().unwrap())
                    .collect();
                assert_eq!(statuses, expected, "seed {seed}, round {round}");
                assert_consistent(app, &user, &job, credits).await;
                app.assert_clean_books().await;
                let delivered = statuses
                    .iter()
                    .filter(|status| **status == "COMPLETED")
                    .count();
                credits -= i64::try_from(delivered).unwrap();
            }
        })
        .await;
}

#[tokio::test]
async fn a_batch_reports_each_item_as_the_job_shows_it() {
    let bfl = Bfl::start().await;
    bfl.answer_polls_of("second", [json!({"status": "Request Moderated"})]);
    test_app()
        .worker()
        .flux(&bfl)
        .run(async |app| {
            let user = app.user().await;
            let id = app.batch(&user, &["first", "second"], 1).await;
            let path = format!("/api/jobs/{id}/events");
            let mut events = Stream::open(app, &path, &user.token, Some(0)).await;
            let mut updates = Vec::new();
            while let Some(update) = events.update().await {
                let is_final = update["status"] == "COMPLETED";
                updates.push(update);
                if is_final {
                    break;
                }
            }
            let done: Vec<&Value> = updates
                .iter()
                .map(|update| &update["metadata"]["done"])
                .collect();
            assert_eq!(json!(done), json!([null, null, 0, 1, 2, 2]));
            let job = app.job(&user, &id).await;
            let last = &updates.last().unwrap()["metadata"];
            for name in ["results", "resultCount", "done", "total", "failed", "items"] {
                assert_eq!(last[name], job["metadata"][name], "{name}");
            }
        })
        .await;
}
