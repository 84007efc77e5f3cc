//! `Idempotency-Key`: a repeated POST happens once.

mod with_pictures;

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, TestApp, TestUser, pictures, snapshot::stable, test_app};

const FLUX: &str = "/api/image/flux";

async fn keyed(app: &TestApp, user: &TestUser, path: &str, key: &str, body: &Value) -> Answer {
    let request = app
        .request(Method::POST, path)
        .bearer_auth(&user.token)
        .header("idempotency-key", key)
        .json(body);
    app.send(request).await
}

async fn count_jobs(app: &TestApp) -> i64 {
    app.count("select count(*) from jobs").await
}

async fn count_keys(app: &TestApp) -> i64 {
    app.count("select count(*) from idempotency_keys").await
}

/// Holds the credit account that every admission of this user has to lock.
async fn lock_credits(
    app: &TestApp,
    user: &TestUser,
) -> sqlx::Transaction<'static, sqlx::Postgres> {
    let pool = crate::support::cluster::pool(&app.database.uri).await;
    let mut held = pool.begin().await.unwrap();
    sqlx::query("select 1 from credit_accounts where user_id = $1 for update")
        .bind(user.id.parse::<uuid::Uuid>().unwrap())
        .execute(&mut *held)
        .await
        .unwrap();
    held
}

async fn somebody_waits(app: &TestApp) {
    let waiting = "select count(*) from pg_stat_activity
                   where datname = current_database() and wait_event_type = 'Lock'";
    app.until("a request to wait for a lock", || async {
        (app.count(waiting).await > 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn every_creating_route_replays_its_answer_byte_for_byte() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            let body = json!({"prompt": "a fox"});
            let named = json!({"prompt": "a fox", "model": "flux-pro-1.1", "provider": "flux"});
            let mut routes: Vec<(String, &Value)> =
                ["gemini", "flux", "chatgpt", "ideogram", "qwen"]
                    .into_iter()
                    .chain(["grok", "runway", "seedream", "reve", "recraft", "luma"])
                    .map(|path| (format!("/api/image/{path}"), &body))
                    .collect();
            routes.push(("/api/jobs/image-generation".to_owned(), &named));
            for (n, (path, body)) in routes.iter().enumerate() {
                let key = format!("key-{n}");
                let first = keyed(app, &user, path, &key, body).await;
                assert_eq!(first.status, 201, "{path}: {}", first.json);
                assert_eq!(first.header("idempotency-replayed"), None);
                let again = keyed(app, &user, path, &key, body).await;
                assert_eq!((again.status, &again.bytes), (201, &first.bytes), "{path}");
                assert_eq!(again.header("idempotency-replayed"), Some("true"));
                assert_eq!(again.header("content-type"), first.header("content-type"));
            }
            let made = i64::try_from(routes.len()).unwrap();
            assert_eq!(count_jobs(app).await, made);
            assert_eq!(app.count("select count(*) from apalis.jobs").await, made);
            assert_eq!(app.credits(&user).await, 20 - made);
        })
        .await;
}

#[tokio::test]
async fn a_key_belongs_to_one_route_and_body() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            keyed(app, &user, FLUX, "k", &json!({"prompt": "a fox"})).await;
            let other_body = keyed(app, &user, FLUX, "k", &json!({"prompt": "a hare"})).await;
            insta::assert_json_snapshot!("key_with_another_body", stable(&other_body, &[]));
            let same = json!({"prompt": "a fox"});
            let other_route = keyed(app, &user, "/api/image/gemini", "k", &same).await;
            assert_eq!(other_route.status, 422);
            let broken = keyed(app, &user, FLUX, "k", &json!({"prompt": 5})).await;
            assert_eq!(broken.status, 422, "{}", broken.json);
            let spaced = app
                .request(Method::POST, FLUX)
                .bearer_auth(&user.token)
                .header("idempotency-key", "k")
                .header("content-type", "application/json")
                .body("{ \"prompt\": \"a fox\" }");
            assert_eq!(app.send(spaced).await.status, 422, "the bytes count");
            assert_eq!(count_jobs(app).await, 1);
            assert_eq!(app.credits(&user).await, 19);
        })
        .await;
}

#[tokio::test]
async fn bad_keys_are_refused_and_without_one_nothing_is_remembered() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            let body = json!({"prompt": "a fox"});
            for key in ["", "two words", &"x".repeat(256), "sch\u{f6}n"] {
                let answer = keyed(app, &user, FLUX, key, &body).await;
                assert_eq!(answer.status, 400, "{key}");
            }
            let twice = app
                .request(Method::POST, FLUX)
                .bearer_auth(&user.token)
                .header("idempotency-key", "a")
                .header("idempotency-key", "b")
                .json(&body);
            let answer = app.send(twice).await;
            insta::assert_json_snapshot!("bad_key", stable(&answer, &[]));
            assert_eq!(count_jobs(app).await, 0);
            let longest: String = (0..255)
                .map(|n| char::from(b'!' + u8::try_from(n % 94).unwrap()))
                .collect();
            assert_eq!(keyed(app, &user, FLUX, &longest, &body).await.status, 201);
            app.generate(&user, body.clone()).await;
            app.generate(&user, body).await;
            assert_eq!((count_jobs(app).await, count_keys(app).await), (3, 1));
        })
        .await;
}

#[tokio::test]
async fn two_users_may_choose_the_same_key() {
    test_app()
        .run(async |app| {
            let (user, other) = (app.user().await, app.user().await);
            let body = json!({"prompt": "a fox"});
            let mine = keyed(app, &user, FLUX, "k", &body).await.json["jobId"].clone();
            let theirs = keyed(app, &other, FLUX, "k", &body).await.json["jobId"].clone();
            assert_ne!(mine, theirs);
            assert_eq!(
                keyed(app, &user, FLUX, "k", &body).await.json["jobId"],
                mine
            );
            assert_eq!(count_jobs(app).await, 2);
        })
        .await;
}

#[tokio::test]
async fn while_the_first_runs_the_second_is_told_to_wait_at_once() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            let body = json!({"prompt": "a fox"});
            let held = lock_credits(app, &user).await;
            let meanwhile = async {
                somebody_waits(app).await;
                let second = keyed(app, &user, FLUX, "k", &body).await;
                assert_eq!(second.header("retry-after"), Some("1"));
                insta::assert_json_snapshot!("key_in_use", stable(&second, &[]));
                held.rollback().await.unwrap();
            };
            let (first, ()) = tokio::join!(keyed(app, &user, FLUX, "k", &body), meanwhile);
            assert_eq!(first.status, 201);
            let third = keyed(app, &user, FLUX, "k", &body).await;
            assert_eq!(third.bytes, first.bytes);
            assert_eq!(count_jobs(app).await, 1);
        })
        .await;
}

#[tokio::test]
async fn forty_at_once_make_one_job() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            let body = json!({"prompt": "a fox"});
            let answers = futures_util::future::join_all(
                (0..40).map(|_| keyed(app, &user, FLUX, "k", &body)),
            )
            .await;
            let ids: std::collections::BTreeSet<String> = answers
                .iter()
                .filter(|answer| answer.status == 201)
                .map(|answer| answer.json["jobId"].as_str().unwrap().to_owned())
                .collect();
            assert_eq!(ids.len(), 1);
            assert!(
                answers
                    .iter()
                    .all(|answer| answer.status == 201 || answer.status == 409)
            );
            assert_eq!((count_jobs(app).await, count_keys(app).await), (1, 1));
            assert_eq!(app.credits(&user).await, 19);
        })
        .await;
}

#[tokio::test]
async fn a_refused_request_leaves_its_key_free() {
    test_app()
        .set("/jobs/max_queued_per_user", 1)
        .run(async |app| {
            let user = app.user().await;
            let plain = json!({"prompt": "a fox"});
            let picture = json!({"prompt": "a fox", "references": [pictures::data_url(8, 8)]});
            app.leave_credits(&user, 0).await;
            for body in [&plain, &picture] {
                assert_eq!(keyed(app, &user, FLUX, "k", body).await.status, 402);
            }
            app.leave_credits(&user, 5).await;
            let bad = json!({"prompt": "a fox", "references": ["%%%"]});
            assert_eq!(keyed(app, &user, FLUX, "k", &bad).await.status, 400);
            let waiting = app.generate(&user, plain.clone()).await;
            for body in [&plain, &picture] {
                assert_eq!(keyed(app, &user, FLUX, "k", body).await.status, 429);
            }
            assert_eq!(count_keys(app).await, 0);
            app.execute(&format!(
                "update jobs set priority = 1, status = 'PROCESSING', claim_no = 1 where id = '{waiting}'"
            ))
            .await;
            let first = keyed(app, &user, FLUX, "k", &picture).await;
            assert_eq!(first.status, 201, "{}", first.json);
            // Whatever speaks against it now, a repeat gets the answer.
            app.leave_credits(&user, 0).await;
            assert_eq!(keyed(app, &user, FLUX, "k", &picture).await.bytes, first.bytes);
            assert_eq!(count_jobs(app).await, 2);
        })
        .await;
}

#[tokio::test]
async fn after_a_day_the_key_is_free_and_its_row_goes() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            let body = json!({"prompt": "a fox"});
            let first = keyed(app, &user, FLUX, "k", &body).await;
            let kept = "select (extract(epoch from expires_at - created_at) / 3600)::bigint from idempotency_keys";
            assert_eq!(app.count(kept).await, 24);
            app.execute("update idempotency_keys set expires_at = now()").await;
            let second = keyed(app, &user, FLUX, "k", &body).await;
            assert_eq!(second.header("idempotency-replayed"), None);
            assert_ne!(second.bytes, first.bytes);
            assert_eq!((count_jobs(app).await, count_keys(app).await), (2, 1));
        })
        .await;
}

#[tokio::test]
async fn answers_that_never_arrived_are_replayed() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            for n in 0..12_u64 {
                let key = format!("key-{n}");
                let body = json!({"prompt": "a fox"});
                // The client gives up somewhere between sending and reading.
                let lost = app
                    .request(Method::POST, FLUX)
                    .bearer_auth(&user.token)
                    .header("idempotency-key", &key)
                    .json(&body)
                    .timeout(Duration::from_micros(500 * (n + 1)));
                lost.send().await.ok();
                let answer = app
                    .until("an answer", || async {
                        let answer = keyed(app, &user, FLUX, &key, &body).await;
                        (answer.status == 201).then_some(answer)
                    })
                    .await;
                let id = answer.json["jobId"].as_str().unwrap();
                assert_eq!(app.job(&user, id).await["status"], "PENDING");
            }
            assert_eq!((count_jobs(app).await, count_keys(app).await), (12, 12));
            assert_eq!(app.count("select count(*) from apalis.jobs").await, 12);
            assert_eq!(app.credits(&user).await, 8);
        })
        .await;
}
