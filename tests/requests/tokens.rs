//! The guard: what gets in, what does not, and the first sight of a user.

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use crate::support::{TestApp, snapshot::stable, test_app, tokens};

const SUBJECT: &str = "6f1b9a52-7a3e-4d5c-9b1f-0d2a3c4e5f60";

fn with(claims: &Value, key: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    if value.is_null() {
        claims.as_object_mut().unwrap().remove(key);
    } else {
        claims[key] = value;
    }
    claims
}

async fn assert_nothing_written(app: &TestApp) {
    assert_eq!(app.count("select count(*) from users").await, 0);
    assert_eq!(
        app.count("select count(*) from credit_transactions").await,
        0
    );
}

#[tokio::test]
async fn forged_expired_and_foreign_tokens_are_refused_and_write_nothing() {
    test_app()
        .run(async |app| {
            let claims = tokens::claims(SUBJECT, "grace@example.com");
            let now = chrono::Utc::now().timestamp();
            let refused = [
                (
                    "wrong secret",
                    tokens::sign(&claims, Algorithm::HS256, "another-secret-0123456789"),
                ),
                (
                    "other algorithm",
                    tokens::sign(&claims, Algorithm::HS512, tokens::SECRET),
                ),
                ("none algorithm", tokens::unsigned(&claims)),
                (
                    "expired",
                    tokens::good(&with(&claims, "exp", json!(now - 1))),
                ),
                (
                    "without expiry",
                    tokens::good(&with(&claims, "exp", Value::Null)),
                ),
                (
                    "not yet valid",
                    tokens::good(&with(&claims, "nbf", json!(now + 300))),
                ),
                ("three words", "not.a.token".to_owned()),
                ("empty", String::new()),
                ("huge", "x".repeat(20_000)),
            ];
            for (name, token) in &refused {
                for path in ["/api/users/me", "/api/jobs", "/api/r2files"] {
                    let answer = app.get(path, Some(token)).await;
                    assert_eq!(
                        (answer.status, &answer.json["message"]),
                        (401, &json!("Unauthorized")),
                        "{name} at {path}"
                    );
                }
                let me = app.get("/api/auth/me", Some(token)).await;
                assert_eq!(me.status, 401, "{name}");
                let body = json!({"access_token": token});
                let callback = app.post("/api/auth/oauth-callback", None, body).await;
                assert!([400, 401].contains(&callback.status), "{name}");
                let gotrue = app.get("/auth/v1/user", Some(token)).await;
                assert!([401, 403].contains(&gotrue.status), "{name}");
                assert!(gotrue.json.get("error_code").is_some(), "{name}");
            }
            for (name, claims) in [
                ("role anon", with(&claims, "role", json!("anon"))),
                ("without role", with(&claims, "role", Value::Null)),
                ("without subject", with(&claims, "sub", Value::Null)),
                (
                    "a subject that is no id",
                    with(&claims, "sub", json!("admin")),
                ),
                ("foreign audience", with(&claims, "aud", json!("elsewhere"))),
            ] {
                let answer = app.get("/api/users/me", Some(&tokens::good(&claims))).await;
                assert_eq!(
                    answer.json["message"], "Invalid authentication token",
                    "{name}"
                );
            }
            assert_nothing_written(app).await;

            let unauthorized = app.get("/api/users/me", None).await;
            insta::assert_json_snapshot!("no_token", stable(&unauthorized, &[]));
            let forged = app.get("/api/auth/me", Some(&refused[0].1)).await;
            insta::assert_json_snapshot!("forged_at_me", stable(&forged, &[]));
            let missing = app.get("/api/auth/me", None).await;
            insta::assert_json_snapshot!("no_token_at_me", stable(&missing, &[]));
            let no_access_token = app.post("/api/auth/oauth-callback", None, json!({})).await;
            insta::assert_json_snapshot!("no_access_token", stable(&no_access_token, &[]));
            let anon = tokens::good(&with(&claims, "role", json!("anon")));
            let anon = app.get("/api/users/me", Some(&anon)).await;
            insta::assert_json_snapshot!("anon_role", stable(&anon, &[]));
        })
        .await;
}

#[tokio::test]
async fn twenty_first_requests_of_a_new_user_make_one_row_and_one_grant() {
    test_app()
        .run(async |app| {
            let token = tokens::good(&tokens::claims(SUBJECT, "Grace@Example.com"));
            let answers = futures_util::future::join_all(
                (0..20).map(|_| app.get("/api/auth/me", Some(&token))),
            )
            .await;
            for answer in &answers {
                assert_eq!((answer.status, &answer.json["credits"]), (200, &json!(20)));
                assert_eq!(answer.json["id"], SUBJECT);
            }
            insta::assert_json_snapshot!(
                "first_sight",
                stable(&answers[0], &[(SUBJECT, "subject")])
            );
            assert_eq!(app.count("select count(*) from users").await, 1);
            let grants = "select count(*) from credit_transactions where kind = 'welcome'";
            assert_eq!(app.count(grants).await, 1);
        })
        .await;
}

#[tokio::test]
async fn the_scheme_may_be_written_in_any_case() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            for scheme in ["bearer", "BEARER  "] {
                let request = app
                    .request(reqwest::Method::GET, "/api/users/me")
                    .header("authorization", format!("{scheme} {}", user.token));
                assert_eq!(app.send(request).await.status, 200, "{scheme}");
            }
        })
        .await;
}

#[tokio::test]
async fn somebody_elses_address_in_a_token_takes_nothing_over() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            let token = tokens::good(&tokens::claims(SUBJECT, &user.email));
            let answer = app.get("/api/users/me", Some(&token)).await;
            insta::assert_json_snapshot!("address_of_another", stable(&answer, &[]));
            assert_eq!(app.count("select count(*) from users").await, 1);
            assert_eq!(app.credits(&user).await, 20);
        })
        .await;
}
