//! Limits of the identity routes: guessers and floods are stopped, honest users are not.

use reqwest::Method;
use serde_json::json;

use crate::support::{Answer, TestApp, snapshot::redact, test_app};

const LOG_IN: &str = "/auth/v1/token?grant_type=password";

async fn log_in(app: &TestApp, from: &str, email: &str, password: &str) -> Answer {
    let request = app
        .request(Method::POST, LOG_IN)
        .header("x-forwarded-for", from)
        .json(&json!({"email": email, "password": password}));
    app.send(request).await
}

#[tokio::test]
async fn wrong_passwords_stop_the_guesser_and_not_the_owner() {
    test_app()
        .set("/http/trusted_proxies", "127.0.0.1")
        .set(
            "/auth/limits/password_anywhere",
            json!({"burst": 8, "every_s": 600}),
        )
        .run(async |app| {
            let user = app.user().await;
            let (home, guesser) = ("198.51.100.1", "203.0.113.66");
            assert_eq!(
                log_in(app, home, &user.email, "correct horse").await.status,
                200
            );
            // Known and unknown accounts stop alike.
            for email in [user.email.as_str(), "nobody@example.com"] {
                for left in (0..5).rev() {
                    let answer = log_in(app, guesser, email, "not the one").await;
                    assert_eq!(answer.status, 400, "{email} {left}");
                    assert_eq!(answer.header("ratelimit-limit"), Some("5"));
                    assert_eq!(
                        answer.header("ratelimit-remaining"),
                        Some(left.to_string().as_str())
                    );
                }
                let stopped = log_in(app, guesser, email, "correct horse").await;
                assert_eq!(stopped.status, 429, "{email}");
                let wait: u64 = stopped.header("retry-after").unwrap().parse().unwrap();
                assert!((1..=60).contains(&wait), "{wait}");
                assert_eq!(stopped.json["error_code"], "over_request_rate_limit");
            }
            // More addresses do not help to guess, and lock nobody out who has been there before.
            let mut statuses = Vec::new();
            for last in 1..=6 {
                let from = format!("192.0.2.{last}");
                statuses.push(log_in(app, &from, &user.email, "not the one").await.status);
            }
            assert_eq!(statuses, [400, 400, 400, 429, 429, 429]);
            assert_eq!(
                log_in(app, home, &user.email, "correct horse").await.status,
                200
            );
        })
        .await;
}

#[tokio::test]
async fn floods_are_answered_429_with_the_time_to_wait() {
    test_app()
        .set("/http/trusted_proxies", "127.0.0.1")
        .set("/auth/limits/sign_up", json!({"burst": 3, "every_s": 600}))
        .set(
            "/auth/limits/mail_recipient",
            json!({"burst": 2, "every_s": 600}),
        )
        .run(async |app| {
            let sign_up = async |from: &str, number: usize| {
                let body =
                    json!({"email": format!("u{number}@example.com"), "password": "correct horse"});
                let request = app
                    .request(Method::POST, "/auth/v1/signup")
                    .header("x-forwarded-for", from)
                    .json(&body);
                app.send(request).await
            };
            let mut statuses = Vec::new();
            for number in 0..5 {
                statuses.push(sign_up("203.0.113.66", number).await.status);
            }
            assert_eq!(statuses, [200, 200, 200, 429, 429]);
            let stopped = sign_up("203.0.113.66", 9).await;
            let wait = stopped.header("retry-after").unwrap().to_owned();
            let body = redact(&stopped.json, &[(&wait, "wait")]);
            insta::assert_json_snapshot!("too_many_sign_ups", body);
            assert_eq!(stopped.header("ratelimit-remaining"), Some("0"));
            assert_eq!(
                sign_up("198.51.100.1", 10).await.status,
                200,
                "another address"
            );

            for path in [
                "/auth/v1/recover",
                "/auth/v1/otp",
                "/api/auth/forgot-password",
            ] {
                let body = json!({"email": "flooded@example.com"});
                let answer = app.post(path, None, body).await;
                let expected = match path {
                    "/auth/v1/recover" | "/auth/v1/otp" => 200,
                    _ => 429,
                };
                assert_eq!(answer.status, expected, "{path}");
            }
        })
        .await;
}

#[tokio::test]
async fn a_storm_of_refreshes_is_never_told_to_drop_the_session() {
    test_app()
        .set("/auth/limits/refresh", json!({"burst": 5, "every_s": 600}))
        .run(async |app| {
            let login = json!({"email": app.user().await.email, "password": "correct horse"});
            let session = app.post(LOG_IN, None, login).await.json;
            let body = json!({"refresh_token": session["refresh_token"]});
            let path = "/auth/v1/token?grant_type=refresh_token";
            let answers =
                futures_util::future::join_all((0..12).map(|_| app.post(path, None, body.clone())))
                    .await;
            let count = |status: u16| {
                answers
                    .iter()
                    .filter(|answer| answer.status == status)
                    .count()
            };
            assert_eq!((count(200), count(503)), (5, 7));
            let busy = answers.iter().find(|answer| answer.status == 503).unwrap();
            assert_eq!(busy.header("retry-after"), Some("1"));
        })
        .await;
}

#[tokio::test]
async fn browsers_may_call_the_identity_routes_with_their_headers() {
    test_app()
        .run(async |app| {
            let origin = "http://localhost:5173";
            for (path, method) in [
                ("/auth/v1/token?grant_type=password", "POST"),
                ("/auth/v1/user", "PUT"),
                ("/api/image/flux", "POST"),
            ] {
                let request = app
                    .request(Method::OPTIONS, path)
                    .header("origin", origin)
                    .header("access-control-request-method", method)
                    .header(
                        "access-control-request-headers",
                        "apikey, authorization, content-type, x-client-info, x-supabase-api-version",
                    );
                let answer = app.send(request).await;
                assert_eq!(answer.status, 204, "{path}");
                assert_eq!(answer.header("access-control-allow-origin"), Some(origin));
                let allowed = answer.header("access-control-allow-headers").unwrap();
                for name in ["apikey", "authorization", "content-type", "x-client-info", "x-supabase-api-version"] {
                    assert!(allowed.contains(name), "{path}: {name}");
                }
            }
            let request = app
                .request(Method::POST, LOG_IN)
                .header("origin", origin)
                .json(&json!({"email": "nobody@example.com", "password": "not the one"}));
            let refused = app.send(request).await;
            assert_eq!(refused.status, 400);
            assert_eq!(refused.header("access-control-allow-origin"), Some(origin));
        })
        .await;
}
