//! `GET /api/jobs/{id}?wait=` and `Prefer: wait`.

use std::time::{Duration, Instant};

use daygen::realtime::{Hub, Kind};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    Answer, TestApp, TestUser,
    bfl::{Bfl, Point},
    snapshot::stable,
    test_app,
};

async fn create(app: &TestApp, user: &TestUser, prefer: &str) -> Answer {
    let body = json!({"prompt": "a fox", "providerOptions": {"width": 64, "height": 64}});
    let request = app
        .request(Method::POST, "/api/image/flux")
        .bearer_auth(&user.token)
        .header("prefer", prefer)
        .json(&body);
    app.send(request).await
}

#[tokio::test]
async fn a_wait_ends_with_its_job() {
    let bfl = Bfl::start().await;
    bfl.close(Point::Download);
    test_app()
        .worker()
        .flux(&bfl)
        .set("/realtime/net_interval_ms", 3_600_000)
        .run(async |app| {
            let user = app.user().await;
            let id = app.generate(&user, json!({"prompt": "a fox"})).await;
            bfl.arrived(Point::Download, 1).await;
            let path = format!("/api/jobs/{id}?wait=55");
            let begun = Instant::now();
            // More waits than the pool has connections, and still everybody is served.
            let waits = (0..16).map(|_| app.get(&path, Some(&user.token)));
            let waits = futures_util::future::join_all(waits);
            let others = async {
                let hub = Hub::of(&app.ctx).unwrap();
                app.until("the waits", || async {
                    (hub.seats.open(Kind::Wait, None) == 16).then_some(())
                })
                .await;
                let in_transaction = "select count(*) from pg_stat_activity
                    where datname = current_database() and state like 'idle in transaction%'";
                // The duties have short ones of their own; a wait's would last.
                app.until("no transaction", || async {
                    (app.count(in_transaction).await == 0).then_some(())
                })
                .await;
                assert_eq!(app.credits(&user).await, 19);
                bfl.open(Point::Download);
            };
            let (answers, ()) = futures_util::future::join(waits, others).await;
            assert!(begun.elapsed() < Duration::from_secs(50));
            for answer in answers {
                assert_eq!(answer.status, 200);
                assert_eq!(answer.json["status"], "COMPLETED");
            }
            let begun = Instant::now();
            assert_eq!(
                app.get(&path, Some(&user.token)).await.json["status"],
                "COMPLETED"
            );
            assert!(
                begun.elapsed() < Duration::from_secs(50),
                "a final job is told at once"
            );
        })
        .await;
}

#[tokio::test]
async fn a_wait_in_vain_tells_the_current_state() {
    test_app()
        .set("/realtime/waits_per_user", 1)
        .run(async |app| {
            let (user, other) = (app.user().await, app.user().await);
            let id = app.generate(&user, json!({"prompt": "a fox"})).await;
            let path = |wait: &str| format!("/api/jobs/{id}?wait={wait}");
            let begun = Instant::now();
            let waited = app.get(&path("1"), Some(&user.token)).await;
            assert!(begun.elapsed() >= Duration::from_secs(1));
            assert_eq!(
                (waited.status, &waited.json["status"]),
                (200, &json!("PENDING"))
            );
            assert_eq!(
                waited.json,
                app.get(&path("0"), Some(&user.token)).await.json
            );

            // One wait too many is answered at once, and who hangs up frees the place.
            let hub = Hub::of(&app.ctx).unwrap();
            let waits = async |count: usize| {
                app.until("the waits", || async {
                    (hub.seats.open(Kind::Wait, None) == count).then_some(())
                })
                .await;
            };
            let first = app
                .request(Method::GET, &path("55"))
                .bearer_auth(&user.token);
            let first = tokio::spawn(first.send());
            waits(1).await;
            let second = app.get(&path("55"), Some(&user.token)).await;
            assert_eq!(second.json["status"], "PENDING");
            first.abort();
            waits(0).await;

            let begun = Instant::now();
            let foreign = app.get(&path("55"), Some(&other.token)).await;
            assert_eq!(foreign.status, 404);
            assert!(begun.elapsed() < Duration::from_secs(50));
            for wait in ["56", "-1", "1.5", "soon", "99999999999999999999"] {
                let answer = app.get(&path(wait), Some(&user.token)).await;
                assert_eq!(answer.status, 400, "{wait}");
            }
            let refused = app.get(&path("56"), Some(&user.token)).await;
            insta::assert_json_snapshot!("refused_wait", stable(&refused, &[]));
        })
        .await;
}

#[tokio::test]
async fn creating_may_wait_for_the_result() {
    let bfl = Bfl::start().await;
    test_app()
        .worker()
        .flux(&bfl)
        .set("/realtime/net_interval_ms", 3_600_000)
        .run(async |app| {
            let user = app.user().await;
            let answer = create(app, &user, "respond-async, wait=50").await;
            let id = answer.json["jobId"].as_str().unwrap();
            let file = answer.json["job"]["metadata"]["r2FileId"].as_str().unwrap();
            let known = [
                (id, "job"),
                (file, "file"),
                (user.id.as_str(), "user"),
                (app.base.as_str(), "base"),
            ];
            insta::assert_json_snapshot!("created_and_done", stable(&answer, &known));
            assert_eq!(answer.header("preference-applied"), Some("wait=50"));
            assert_eq!(answer.json["job"], app.job(&user, id).await);

            let body = json!({"prompt": "a fox", "provider": "flux", "model": "flux-pro-1.1"});
            let request = app
                .request(Method::POST, "/api/jobs/image-generation")
                .bearer_auth(&user.token)
                .header("prefer", "wait")
                .json(&body);
            let answer = app.send(request).await;
            assert_eq!(answer.json["job"]["status"], "COMPLETED");
            assert_eq!(answer.header("preference-applied"), Some("wait=55"));

            bfl.fail_submissions([(422, json!({"detail": "Bad"}))]);
            let failed = create(app, &user, "wait=55").await;
            assert_eq!(failed.status, 201);
            assert_eq!(failed.json["job"]["status"], "FAILED");
        })
        .await;
}

#[tokio::test]
async fn creating_never_fails_for_waiting() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            let begun = Instant::now();
            for (prefer, applied) in [
                ("wait=1", Some("wait=1")),
                ("wait=0", Some("wait=0")),
                ("wait=soon", None),
                ("return=minimal", None),
            ] {
                let answer = create(app, &user, prefer).await;
                assert_eq!(answer.status, 201, "{prefer}");
                assert_eq!(answer.header("preference-applied"), applied, "{prefer}");
                let fields: Vec<&String> = answer.json.as_object().unwrap().keys().collect();
                assert_eq!(fields, ["jobId"], "{prefer}");
            }
            assert!(begun.elapsed() >= Duration::from_secs(1));
            // What is refused is refused at once, and exactly as without a preference.
            let begun = Instant::now();
            let request = app
                .request(Method::POST, "/api/image/flux")
                .bearer_auth(&user.token)
                .header("prefer", "wait=55")
                .json(&json!({}));
            let refused = app.send(request).await;
            assert_eq!(refused.status, 400);
            assert_eq!(refused.header("preference-applied"), None);
            assert!(begun.elapsed() < Duration::from_secs(50));
            assert_ne!(refused.json, Value::Null);
        })
        .await;
}
