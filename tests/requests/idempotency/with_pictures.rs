//! Keyed requests that upload reference pictures before their transaction.

use std::time::Duration;

use daygen::storage::{Storage, deletions};
use reqwest::Method;
use serde_json::json;

use super::{FLUX, count_jobs, count_keys, keyed};
use crate::support::{TestApp, pictures, test_app};

#[tokio::test]
async fn a_repeat_with_pictures_uploads_nothing() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            let body = json!({"prompt": "a fox", "references": [pictures::data_url(8, 8), pictures::data_url(9, 9)]});
            let first = keyed(app, &user, FLUX, "k", &body).await;
            assert_eq!(first.status, 201);
            let (keys, notes) = (app.bucket.keys(""), "select count(*) from object_deletions");
            assert_eq!((keys.len(), app.count(notes).await), (2, 1));
            for _ in 0..3 {
                assert_eq!(keyed(app, &user, FLUX, "k", &body).await.bytes, first.bytes);
            }
            assert_eq!((app.bucket.keys(""), app.count(notes).await), (keys, 1));
        })
        .await;
}

#[tokio::test]
async fn while_pictures_are_uploaded_the_key_is_held_and_a_hang_up_gives_it_back() {
    test_app()
        .worker()
        .run(async |app| {
            let user = app.user().await;
            let body = json!({"prompt": "a fox", "references": [pictures::data_url(8, 8)]});
            app.bucket.close_gate();
            let first = app
                .request(Method::POST, FLUX)
                .bearer_auth(&user.token)
                .header("idempotency-key", "k")
                .json(&body)
                .send();
            let first = tokio::time::timeout(Duration::from_secs(30), async {
                tokio::select! {
                    answer = first => panic!("answered before its upload: {answer:?}"),
                    () = async {
                        app.bucket.upload_waits().await;
                        let second = keyed(app, &user, FLUX, "k", &body).await;
                        assert_eq!((second.status, second.header("retry-after")), (409, Some("1")));
                        let other = keyed(app, &user, FLUX, "k", &json!({"prompt": "a hare"})).await;
                        assert_eq!(other.status, 422);
                    } => {}
                }
            });
            first.await.unwrap();
            // The first client has hung up.
            app.until("the key to be given back", || async {
                (count_keys(app).await == 0).then_some(())
            })
            .await;
            app.bucket.open_gate();
            let again = keyed(app, &user, FLUX, "k", &body).await;
            assert_eq!(again.status, 201, "{}", again.json);
            let id = again.json["jobId"].as_str().unwrap();
            assert_eq!(app.final_job(&user, id).await["status"], "COMPLETED");
            assert_eq!(count_jobs(app).await, 1);
        })
        .await;
}

/// One turn of the duty that deletes what is noted.
async fn delete_noted(app: &TestApp) {
    let storage = Storage::of(&app.ctx).unwrap();
    deletions::run(app.ctx.db.clone(), storage).await.unwrap();
}

#[tokio::test]
async fn who_loses_a_key_after_its_upload_cleans_up() {
    test_app()
        .set("/http/idempotency_lease_ms", 100)
        .run(async |app| {
            let user = app.user().await;
            let body = json!({"prompt": "a fox", "references": [pictures::data_url(8, 8)]});
            app.bucket.close_gate();
            let second = async {
                app.bucket.upload_waits().await;
                let lapsed =
                    "select count(*) from idempotency_keys where locked_until <= clock_timestamp()";
                app.until("the first one's lease to run out", || async {
                    (app.count(lapsed).await == 1).then_some(())
                })
                .await;
                let open = async {
                    let noted = "select count(*) from object_deletions";
                    app.until("the second one to upload too", || async {
                        (app.count(noted).await == 2).then_some(())
                    })
                    .await;
                    app.bucket.open_gate();
                };
                tokio::join!(keyed(app, &user, FLUX, "k", &body), open).0
            };
            let (first, second) = tokio::join!(keyed(app, &user, FLUX, "k", &body), second);
            // The loser is told to wait, or gets the winner's answer when that was committed already. When
            // they meet at the key, both are told to wait.
            let mut statuses = [first.status, second.status];
            statuses.sort_unstable();
            let is_made = statuses != [409, 409];
            assert!(
                !is_made || statuses == [201, 409] || first.bytes == second.bytes,
                "{statuses:?}"
            );
            assert_eq!(count_jobs(app).await, i64::from(is_made));
            let again = keyed(app, &user, FLUX, "k", &body).await;
            assert_eq!(again.status, 201, "{}", again.json);
            assert_eq!(again.header("idempotency-replayed").is_some(), is_made);
            assert_eq!((count_jobs(app).await, count_keys(app).await), (1, 1));
            let uploaded = app.bucket.keys("inputs").len();
            assert_eq!(uploaded, if is_made { 2 } else { 3 });
            delete_noted(app).await;
            let kept = app.bucket.keys("inputs");
            assert_eq!(kept.len(), 1);
            assert!(kept[0].contains(again.json["jobId"].as_str().unwrap()));
        })
        .await;
}

#[tokio::test]
async fn pictures_of_a_refused_request_go_soon() {
    test_app()
        .set("/jobs/max_queued_per_user", 1)
        .run(async |app| {
            let user = app.user().await;
            app.generate(&user, json!({"prompt": "a fox"})).await;
            let body = json!({"prompt": "a fox", "references": [pictures::data_url(8, 8)]});
            assert_eq!(keyed(app, &user, FLUX, "k", &body).await.status, 429);
            assert_eq!(app.bucket.keys("inputs").len(), 1);
            delete_noted(app).await;
            assert!(app.bucket.keys("inputs").is_empty());
            assert_eq!(count_keys(app).await, 0);
        })
        .await;
}

#[tokio::test]
async fn a_large_body_is_remembered_by_its_hash() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            let noise = pictures::data_url(1500, 1500);
            let body = json!({"prompt": "a fox", "references": vec![noise; 14]});
            let size = body.to_string().len();
            assert!(size > 300_000, "{size}");
            let first = keyed(app, &user, FLUX, "k", &body).await;
            assert_eq!(first.status, 201, "{}", first.json);
            assert_eq!(keyed(app, &user, FLUX, "k", &body).await.bytes, first.bytes);
            let row =
                "select (octet_length(body_hash) + length(response))::bigint from idempotency_keys";
            assert!(app.count(row).await < 200);
        })
        .await;
}
