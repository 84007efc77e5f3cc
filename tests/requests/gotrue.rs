//! `/auth/v1/*`, as the client's identity library calls it.

mod google_flow;
mod limits;
mod links;
mod takeover;

use serde_json::json;

use crate::support::{snapshot::stable, test_app};

#[tokio::test]
async fn signing_up_gives_a_session_at_once() {
    test_app()
        .run(async |app| {
            let body = json!({
                "email": "ada@example.com", "password": "correct horse",
                "data": {"display_name": "Ada"}, "gotrue_meta_security": {},
                "code_challenge": null, "code_challenge_method": "s256",
            });
            let answer = app
                .post(
                    "/auth/v1/signup?redirect_to=http://x/auth/callback",
                    None,
                    body.clone(),
                )
                .await;
            let token = answer.json["access_token"].as_str().unwrap().to_owned();
            let refresh = answer.json["refresh_token"].as_str().unwrap().to_owned();
            let id = answer.json["user"]["id"].as_str().unwrap().to_owned();
            let lives =
                answer.json["expires_at"].as_i64().unwrap() - chrono::Utc::now().timestamp();
            assert!((3590..=3600).contains(&lives), "{lives}");
            let known = [
                (token.as_str(), "token"),
                (refresh.as_str(), "refresh"),
                (id.as_str(), "user"),
            ];
            let mut stable_answer = stable(&answer, &known);
            stable_answer["body"]["expires_at"] = json!("[in an hour]");
            insta::assert_json_snapshot!("gotrue_signup", stable_answer);
            let user = app.get("/auth/v1/user", Some(&token)).await;
            insta::assert_json_snapshot!("gotrue_user", stable(&user, &known));
            let taken = app.post("/auth/v1/signup", None, body).await;
            insta::assert_json_snapshot!("gotrue_taken", stable(&taken, &[]));
            assert_eq!(
                app.get("/api/auth/me", Some(&token)).await.json["displayName"],
                "Ada"
            );
        })
        .await;
}

#[tokio::test]
async fn errors_have_gotrues_shape_and_texts() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            let wrong = json!({"email": user.email, "password": "wrong password"});
            let answer = app
                .post("/auth/v1/token?grant_type=password", None, wrong)
                .await;
            insta::assert_json_snapshot!("gotrue_wrong_password", stable(&answer, &[]));
            let weak = json!({"email": "b@example.com", "password": "short"});
            let answer = app.post("/auth/v1/signup", None, weak).await;
            insta::assert_json_snapshot!("gotrue_weak_password", stable(&answer, &[]));
            let answer = app
                .post("/auth/v1/token?grant_type=sms", None, json!({}))
                .await;
            insta::assert_json_snapshot!("gotrue_grant_type", stable(&answer, &[]));
            let unknown = json!({"refresh_token": "never given"});
            let answer = app
                .post("/auth/v1/token?grant_type=refresh_token", None, unknown)
                .await;
            insta::assert_json_snapshot!("gotrue_unknown_refresh", stable(&answer, &[]));
            let answer = app.get("/auth/v1/user", None).await;
            insta::assert_json_snapshot!("gotrue_no_bearer", stable(&answer, &[]));
            let answer = app.get("/auth/v1/user", Some("junk")).await;
            insta::assert_json_snapshot!("gotrue_bad_bearer", stable(&answer, &[]));
        })
        .await;
}

#[tokio::test]
async fn refresh_tokens_rotate_and_two_tabs_stay_signed_in() {
    test_app()
        .run(async |app| {
            let login = json!({"email": app.user().await.email, "password": "correct horse"});
            let session = app
                .post("/auth/v1/token?grant_type=password", None, login)
                .await
                .json;
            let body = json!({"refresh_token": session["refresh_token"]});
            let path = "/auth/v1/token?grant_type=refresh_token";
            let (one, two) = futures_util::join!(
                app.post(path, None, body.clone()),
                app.post(path, None, body.clone()),
            );
            assert_eq!((one.status, two.status), (200, 200));
            assert_ne!(one.json["refresh_token"], session["refresh_token"]);
            assert_ne!(one.json["refresh_token"], two.json["refresh_token"]);
            let next = json!({"refresh_token": one.json["refresh_token"]});
            assert_eq!(app.post(path, None, next).await.status, 200);
        })
        .await;
}

#[tokio::test]
async fn a_refresh_token_used_again_later_ends_its_whole_session() {
    test_app()
        .run(async |app| {
            let login = json!({"email": app.user().await.email, "password": "correct horse"});
            let session = app
                .post("/auth/v1/token?grant_type=password", None, login)
                .await
                .json;
            let path = "/auth/v1/token?grant_type=refresh_token";
            let first = json!({"refresh_token": session["refresh_token"]});
            let second = app.post(path, None, first.clone()).await.json;
            app.execute("update refresh_tokens set used_at = used_at - interval '1 minute'")
                .await;
            assert_eq!(app.post(path, None, first).await.status, 400);
            let thief = json!({"refresh_token": second["refresh_token"]});
            assert_eq!(app.post(path, None, thief).await.status, 400);
        })
        .await;
}

#[tokio::test]
async fn signing_out_ends_the_sessions_of_its_scope() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            let login = json!({"email": user.email, "password": "correct horse"});
            let path = "/auth/v1/token?grant_type=password";
            let live = "select count(*) from auth_sessions where revoked_at is null";
            let mut last = user.token.clone();
            for (scope, left) in [("?scope=others", 1), ("?scope=local", 1), ("", 0)] {
                let session = app.post(path, None, login.clone()).await.json;
                last = session["access_token"].as_str().unwrap().to_owned();
                let before = app.count(live).await;
                let out = format!("/auth/v1/logout{scope}");
                let answer = app
                    .call(reqwest::Method::POST, &out, Some(&last), None)
                    .await;
                assert_eq!(answer.status, 204);
                let expected = if scope == "?scope=local" {
                    before - 1
                } else {
                    left
                };
                assert_eq!(app.count(live).await, expected, "{scope}");
            }
            let me = app.get("/api/auth/me", Some(&last)).await;
            assert_eq!(
                me.status, 200,
                "an access token stays good until it expires"
            );
        })
        .await;
}

#[tokio::test]
async fn the_public_key_is_checked_where_one_is_set() {
    test_app()
        .set("/auth/anon_key", "the-anon-key")
        .run(async |app| {
            let body = json!({"email": "a@example.com", "password": "correct horse"});
            let refused = app.post("/auth/v1/signup", None, body.clone()).await;
            insta::assert_json_snapshot!("gotrue_api_key", stable(&refused, &[]));
            let request = app
                .request(reqwest::Method::POST, "/auth/v1/signup")
                .header("apikey", "the-anon-key")
                .bearer_auth("the-anon-key")
                .json(&body);
            assert_eq!(app.send(request).await.status, 200);
        })
        .await;
}
