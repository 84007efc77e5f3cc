//! `/api/auth/*`.

use serde_json::json;

use crate::support::{snapshot::stable, test_app};

#[tokio::test]
async fn an_account_is_made_logged_in_and_shown() {
    test_app()
        .run(async |app| {
            let body = json!({"email": " Ada@Example.com ", "password": "correct horse", "displayName": "Ada"});
            let signed_up = app.post("/api/auth/signup", None, body.clone()).await;
            insta::assert_json_snapshot!("signup", stable(&signed_up, &[]));
            let again = app.post("/api/auth/signup", None, body).await;
            insta::assert_json_snapshot!("signup_taken", stable(&again, &[]));

            let body = json!({"email": "ada@example.com", "password": "correct horse"});
            let logged_in = app.post("/api/auth/login", None, body).await;
            let token = logged_in.json["accessToken"].as_str().unwrap().to_owned();
            let refresh = logged_in.json["refreshToken"].as_str().unwrap().to_owned();
            let id = logged_in.json["user"]["id"].as_str().unwrap().to_owned();
            let known = [(token.as_str(), "token"), (refresh.as_str(), "refresh"), (id.as_str(), "user")];
            insta::assert_json_snapshot!("login", stable(&logged_in, &known));

            let me = app.get("/api/auth/me", Some(&token)).await;
            insta::assert_json_snapshot!("me", stable(&me, &known));
            let body = json!({"access_token": token, "refresh_token": refresh});
            let callback = app.post("/api/auth/oauth-callback", None, body).await;
            insta::assert_json_snapshot!("oauth_callback", stable(&callback, &known));

            let signed_out = app.call(reqwest::Method::POST, "/api/auth/signout", Some(&token), None).await;
            insta::assert_json_snapshot!("signout", stable(&signed_out, &[]));
            let body = json!({"refresh_token": refresh});
            let refreshed = app.post("/auth/v1/token?grant_type=refresh_token", None, body).await;
            assert_eq!(refreshed.status, 400, "the session has ended");
        })
        .await;
}

#[tokio::test]
async fn bad_credentials_and_bad_fields_are_told_apart() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            for (name, email) in [
                ("wrong_password", user.email.as_str()),
                ("unknown_email", "nobody@example.com"),
            ] {
                let body = json!({"email": email, "password": "not the one"});
                let answer = app.post("/api/auth/login", None, body).await;
                insta::assert_json_snapshot!(name, stable(&answer, &[]));
            }
            let empty = app.post("/api/auth/login", None, json!({})).await;
            insta::assert_json_snapshot!("login_empty", stable(&empty, &[]));
            let no_body = app
                .call(reqwest::Method::POST, "/api/auth/login", None, None)
                .await;
            assert_eq!(no_body.json["message"], empty.json["message"]);
            let body = json!({"email": "x", "password": "short", "displayName": "n".repeat(81)});
            let bad = app.post("/api/auth/signup", None, body).await;
            insta::assert_json_snapshot!("signup_bad_fields", stable(&bad, &[]));
            assert_eq!(app.count("select count(*) from users").await, 1);
        })
        .await;
}

#[tokio::test]
async fn signing_out_without_a_good_token_changes_nothing() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            let answer = app
                .call(
                    reqwest::Method::POST,
                    "/api/auth/signout",
                    Some("junk"),
                    None,
                )
                .await;
            assert_eq!(answer.status, 201);
            let live = "select count(*) from auth_sessions where revoked_at is null";
            assert_eq!(app.count(live).await, 1);
            assert_eq!(app.get("/api/auth/me", Some(&user.token)).await.status, 200);
        })
        .await;
}

#[tokio::test]
async fn two_sign_ups_of_one_address_make_one_account() {
    test_app()
        .run(async |app| {
            let body = json!({"email": "twin@example.com", "password": "correct horse"});
            let answers = futures_util::future::join_all(
                (0..8).map(|_| app.post("/api/auth/signup", None, body.clone())),
            )
            .await;
            let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
            statuses.sort_unstable();
            assert_eq!(statuses, [201, 409, 409, 409, 409, 409, 409, 409]);
            assert_eq!(app.count("select count(*) from users").await, 1);
            assert_eq!(
                app.count("select sum(balance)::bigint from credit_accounts")
                    .await,
                20
            );
        })
        .await;
}
