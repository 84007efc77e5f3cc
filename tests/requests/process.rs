//! `POST /api/jobs/process`: who may push, what is answered, and how long it may take.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    Answer, Builder, INTERNAL_KEY, TestApp,
    bfl::{Bfl, Point},
    cloud_tasks::CloudTasks,
    cluster,
    google::{ACCOUNT, Google, oidc_claims},
    snapshot::stable,
    test_app,
};

const AUDIENCE: &str = "https://api.example.com";

async fn push(app: &TestApp, bearer: Option<&str>, body: &Value) -> Answer {
    let mut request = app.request(Method::POST, "/api/jobs/process").json(body);
    if let Some(bearer) = bearer {
        request = request.bearer_auth(bearer);
    }
    app.send(request).await
}

/// An app on apalis whose route is open; nobody fetches, so only pushes work jobs.
fn open() -> Builder {
    test_app()
        .set("/queue/internal_api_key", INTERNAL_KEY)
        .set("/jobs/duty_interval_ms", 3_600_000)
}

fn small() -> Value {
    json!({"prompt": "a fox", "providerOptions": {"width": 64, "height": 64}})
}

#[tokio::test]
async fn without_a_key_nobody_passes() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            let id = app.generate(&user, small()).await;
            let body = json!({ "jobId": id });
            for bearer in [
                None,
                Some("internal-key"),
                Some(INTERNAL_KEY),
                Some(&*user.token),
            ] {
                assert_eq!(push(app, bearer, &body).await.status, 401, "{bearer:?}");
            }
            let request = app
                .request(Method::POST, "/api/jobs/process")
                .header("authorization", "Bearer ")
                .json(&body);
            assert_eq!(app.send(request).await.status, 401);
            assert_eq!(app.job(&user, &id).await["status"], "PENDING");
        })
        .await;
}

#[tokio::test]
async fn the_key_opens_and_nothing_else_does() {
    open()
        .run(async |app| {
            let user = app.user().await;
            let id = app.generate(&user, small()).await;
            let body = json!({ "jobId": id });
            for bearer in [None, Some("internal-key"), Some("x"), Some(&*user.token)] {
                assert_eq!(push(app, bearer, &body).await.status, 401, "{bearer:?}");
            }
            let refused = push(app, Some("x"), &body).await;
            insta::assert_json_snapshot!("process_refused", stable(&refused, &[]));
            let done = push(app, Some(INTERNAL_KEY), &body).await;
            assert_eq!(
                (done.status, &done.json),
                (200, &json!({"status": "COMPLETED"}))
            );
            // Again: there is nothing to do, and that is fine.
            let again = push(app, Some(INTERNAL_KEY), &body).await;
            assert_eq!(
                (again.status, again.json),
                (200, json!({"status": "COMPLETED"}))
            );
            assert_eq!(app.credits(&user).await, 19);
        })
        .await;
}

#[tokio::test]
async fn bad_bodies_and_unknown_jobs_are_told_apart() {
    open()
        .run(async |app| {
            let missing = push(app, Some(INTERNAL_KEY), &json!({})).await;
            insta::assert_json_snapshot!("process_without_job", stable(&missing, &[]));
            let broken = push(app, Some(INTERNAL_KEY), &json!({"jobId": "12"})).await;
            insta::assert_json_snapshot!("process_bad_job", stable(&broken, &[]));
            let body = json!({"jobId": "0193a7e0-0000-7000-8000-000000000000"});
            let unknown = push(app, Some(INTERNAL_KEY), &body).await;
            insta::assert_json_snapshot!("process_unknown_job", stable(&unknown, &[]));
            let large = json!({"jobId": "x".repeat(300_000)});
            assert_eq!(push(app, Some(INTERNAL_KEY), &large).await.status, 413);
            let not_json = app
                .request(Method::POST, "/api/jobs/process")
                .bearer_auth(INTERNAL_KEY)
                .body("jobId=1");
            assert_eq!(app.send(not_json).await.status, 400);
        })
        .await;
}

#[tokio::test]
async fn a_failed_step_that_was_settled_is_answered_200() {
    let bfl = Bfl::start().await;
    bfl.fail_submissions([
        (503, json!({"detail": "overloaded"})),
        (422, json!({"detail": "no"})),
    ]);
    open()
        .flux(&bfl)
        .set("/jobs/backoff_base_ms", 1)
        .set("/jobs/backoff_max_ms", 1)
        .run(async |app| {
            let user = app.user().await;
            let id = app.generate(&user, json!({"prompt": "a fox"})).await;
            let body = json!({ "jobId": id });
            let retried = push(app, Some(INTERNAL_KEY), &body).await;
            assert_eq!(
                (retried.status, retried.json),
                (200, json!({"status": "PENDING"}))
            );
            let failed = push(app, Some(INTERNAL_KEY), &body).await;
            assert_eq!(
                (failed.status, failed.json),
                (200, json!({"status": "FAILED"}))
            );
            assert_eq!(app.credits(&user).await, 20);
        })
        .await;
}

#[tokio::test]
async fn a_step_may_take_longer_than_other_requests() {
    let bfl = Bfl::start().await;
    bfl.close(Point::Submit);
    // Users and jobs come from an app that has time.
    test_app()
        .flux(&bfl)
        .run(async |ample| {
            let user = ample.user().await;
            let id = ample.generate(&user, json!({"prompt": "a fox"})).await;
            let body = json!({ "jobId": id });
            open()
                .on(ample)
                .flux(&bfl)
                .set("/http/request_timeout_ms", 1_500)
                .run(async |app| {
                    let others = async {
                        bfl.arrived(Point::Submit, 1).await;
                        // A body that never ends: such a request is cut, the step is not.
                        let endless = futures_util::stream::pending::<std::io::Result<Vec<u8>>>();
                        let request = app
                            .request(Method::POST, "/api/auth/login")
                            .header("content-type", "application/json")
                            .body(reqwest::Body::wrap_stream(endless));
                        assert_eq!(app.send(request).await.json["code"], "REQUEST_TOO_SLOW");
                        bfl.open(Point::Submit);
                    };
                    let (answer, ()) = tokio::join!(push(app, Some(INTERNAL_KEY), &body), others);
                    assert_eq!(answer.status, 200, "{}", answer.json);
                    assert_eq!(answer.json["status"], "COMPLETED");
                })
                .await;
        })
        .await;
}

#[tokio::test]
async fn a_caller_that_hangs_up_does_not_cut_the_step() {
    let bfl = Bfl::start().await;
    bfl.close(Point::Submit);
    open()
        .flux(&bfl)
        .run(async |app| {
            let user = app.user().await;
            let id = app.generate(&user, json!({"prompt": "a fox"})).await;
            let request = app
                .request(Method::POST, "/api/jobs/process")
                .bearer_auth(INTERNAL_KEY)
                .json(&json!({ "jobId": id }));
            let call = tokio::spawn(request.send());
            bfl.arrived(Point::Submit, 1).await;
            call.abort();
            call.await.unwrap_err();
            bfl.open(Point::Submit);
            assert_eq!(app.final_job(&user, &id).await["status"], "COMPLETED");
            assert_eq!(app.count("select claim_no::bigint from jobs").await, 1);
        })
        .await;
}

#[tokio::test]
async fn a_database_that_is_away_is_worth_another_delivery() {
    open()
        .run(async |app| {
            let user = app.user().await;
            let id = app.generate(&user, small()).await;
            let name = app.database.uri.rsplit('/').next().unwrap().to_owned();
            let admin = cluster::admin().await;
            let allow = async |is_allowed: bool| {
                let sql = format!("alter database {name} allow_connections {is_allowed}");
                sqlx::query(sqlx::AssertSqlSafe(sql))
                    .execute(&admin)
                    .await
                    .unwrap();
            };
            allow(false).await;
            let cut = "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1";
            sqlx::query(cut).bind(&name).execute(&admin).await.unwrap();
            let body = json!({ "jobId": id });
            let away = push(app, Some(INTERNAL_KEY), &body).await;
            assert_eq!(away.status, 503, "{}", away.json);
            allow(true).await;
            app.until("the database to be back", || async {
                let answer = push(app, Some(INTERNAL_KEY), &body).await;
                (answer.json["status"] == "COMPLETED").then_some(())
            })
            .await;
        })
        .await;
}

#[tokio::test]
async fn tokens_of_google_open_only_in_the_name_of_our_account() {
    let google = Google::start().await;
    open()
        .set("/queue/internal_api_key", "")
        .set("/queue/cloud_tasks/oidc_service_account", ACCOUNT)
        .set("/queue/cloud_tasks/oidc_audience", AUDIENCE)
        .set(
            "/queue/cloud_tasks/oidc_certs_url",
            format!("{}/oauth2/v3/certs", google.base),
        )
        .run(async |app| {
            let user = app.user().await;
            let id = app.generate(&user, small()).await;
            let body = json!({ "jobId": id });
            let with = |key: &str, value: Value| {
                let mut claims = oidc_claims(ACCOUNT, AUDIENCE);
                claims[key] = value;
                google.sign(&claims)
            };
            let hour = 3_600;
            let now = chrono::Utc::now().timestamp();
            let bad = [
                ("forged", google.forge(&oidc_claims(ACCOUNT, AUDIENCE))),
                ("audience", with("aud", json!("https://other.example.com"))),
                ("issuer", with("iss", json!("https://accounts.example.com"))),
                ("expired", with("exp", json!(now - hour))),
                ("no end", with("exp", Value::Null)),
                (
                    "account",
                    with("email", json!("other@test-project.iam.gserviceaccount.com")),
                ),
                ("unproven", with("email_verified", json!(false))),
                ("user", user.token.clone()),
                ("garbage", "a.b.c".to_owned()),
            ];
            for (what, token) in &bad {
                assert_eq!(push(app, Some(token), &body).await.status, 401, "{what}");
            }
            assert_eq!(app.job(&user, &id).await["status"], "PENDING");
            let good = google.oidc_token(ACCOUNT, AUDIENCE);
            let answer = push(app, Some(&good), &body).await;
            assert_eq!(
                (answer.status, answer.json),
                (200, json!({"status": "COMPLETED"}))
            );
            assert_eq!(google.asked_for_keys(), 1, "the keys are kept");
        })
        .await;
}

#[tokio::test]
async fn without_googles_keys_a_token_is_neither_good_nor_bad() {
    open()
        .set("/queue/internal_api_key", "")
        .set("/queue/cloud_tasks/oidc_service_account", ACCOUNT)
        .set(
            "/queue/cloud_tasks/oidc_certs_url",
            "http://127.0.0.1:1/certs",
        )
        .run(async |app| {
            let google = Google::start().await;
            let body = json!({"jobId": "0193a7e0-0000-7000-8000-000000000000"});
            let token = google.oidc_token(ACCOUNT, AUDIENCE);
            assert_eq!(push(app, Some(&token), &body).await.status, 503);
        })
        .await;
}

#[tokio::test]
async fn cloud_tasks_proves_itself_by_token_when_an_account_is_set() {
    let google = Google::start().await;
    let tasks = CloudTasks::start_with(Some(google.clone())).await;
    test_app()
        .cloud_tasks(&tasks)
        .set("/queue/internal_api_key", "")
        .set("/queue/cloud_tasks/oidc_service_account", ACCOUNT)
        .set(
            "/queue/cloud_tasks/oidc_certs_url",
            format!("{}/oauth2/v3/certs", google.base),
        )
        .run(async |app| {
            let user = app.user().await;
            let id = app.generate(&user, small()).await;
            assert_eq!(app.final_job(&user, &id).await["status"], "COMPLETED");
            let request = &tasks.created()[0]["httpRequest"];
            assert_eq!(
                request["oidcToken"],
                json!({"serviceAccountEmail": ACCOUNT, "audience": app.base})
            );
            assert!(request["headers"].get("Authorization").is_none());
        })
        .await;
}
