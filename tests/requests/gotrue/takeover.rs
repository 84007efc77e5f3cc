//! A stranger who registered somebody's address first gains nothing.

use reqwest::Method;
use serde_json::json;

use crate::support::{
    TestApp,
    google::{Google, id_claims},
    inbox::{fragment, query},
    test_app,
};

const CLIENT: &str = "our-client.apps.googleusercontent.com";

/// The owner comes, and gives the access token of the owner's session.
async fn arrive(app: &TestApp, google: &Google, way: &str, email: &str) -> String {
    let session = match way {
        "google" => {
            let id_token = google.sign(&id_claims(CLIENT, "owner-of-the-address", email));
            let body = json!({"provider": "google", "id_token": id_token});
            let answer = app
                .post("/auth/v1/token?grant_type=id_token", None, body)
                .await;
            assert_eq!(answer.status, 200, "{}", answer.json);
            return answer.json["access_token"].as_str().unwrap().to_owned();
        }
        "magic link" => {
            app.post("/auth/v1/otp", None, json!({"email": email}))
                .await;
            app.mail(email, "Sign in to DayGen").await
        }
        "recovery" => {
            app.post("/auth/v1/recover", None, json!({"email": email}))
                .await;
            app.mail(email, "Choose a new password").await
        }
        // What everybody gets whose address somebody registers.
        _ => {
            let mail = app.mail(email, "Welcome to DayGen").await;
            let body = json!({"token": mail.secret(), "newPassword": "a password of my own"});
            let answer = app.post("/api/auth/reset-password", None, body).await;
            assert_eq!(answer.status, 201, "{}", answer.json);
            let body = json!({"email": email, "password": "a password of my own"});
            let answer = app
                .post("/auth/v1/token?grant_type=password", None, body)
                .await;
            return answer.json["access_token"].as_str().unwrap().to_owned();
        }
    };
    fragment(&app.follow(&session.link()).await, "access_token").unwrap()
}

#[tokio::test]
async fn the_owner_gets_the_account_and_the_stranger_nothing() {
    let google = Google::start().await;
    test_app()
        .worker()
        .set("/identity/google/client_ids", CLIENT)
        .set("/identity/google/base", google.base.as_str())
        .run(async |app| {
            for (number, way) in ["google", "magic link", "recovery", "welcome mail"]
                .into_iter()
                .enumerate()
            {
                let email = format!("owner-{number}@example.com");
                let body = json!({"email": email, "password": "of the stranger"});
                let stranger = app.post("/auth/v1/signup", None, body.clone()).await.json;
                let token = stranger["access_token"].as_str().unwrap();
                // The stranger prepares to move the account to an own mailbox.
                let mailbox = format!("stranger-{number}@example.com");
                let change = json!({"email": mailbox});
                app.call(Method::PUT, "/auth/v1/user", Some(token), Some(change))
                    .await;
                let trap = app.mail(&mailbox, "Confirm your new address").await;

                let owner = arrive(app, &google, way, &email).await;
                let me = app.get("/api/auth/me", Some(&owner)).await;
                assert_eq!(
                    (me.status, &me.json["email"]),
                    (200, &json!(email)),
                    "{way}"
                );
                assert_eq!(
                    me.json["id"], stranger["user"]["id"],
                    "{way}: the same account"
                );

                let log_in = app
                    .post("/auth/v1/token?grant_type=password", None, body)
                    .await;
                assert_eq!(log_in.status, 400, "{way}: the password");
                let refresh = json!({"refresh_token": stranger["refresh_token"]});
                let refresh = app
                    .post("/auth/v1/token?grant_type=refresh_token", None, refresh)
                    .await;
                assert_eq!(refresh.status, 400, "{way}: the log-in");
                let me = app.get("/api/auth/me", Some(token)).await;
                assert_eq!(me.status, 401, "{way}: the access token");
                let trap = app.follow(&trap.link()).await;
                assert_eq!(
                    query(&trap, "error_code").as_deref(),
                    Some("otp_expired"),
                    "{way}: the change"
                );
                let me = app.get("/api/auth/me", Some(&owner)).await;
                assert_eq!(
                    (me.status, &me.json["email"]),
                    (200, &json!(email)),
                    "{way}"
                );
            }
            assert_eq!(app.count("select count(*) from users").await, 4);
            assert_eq!(
                app.count("select sum(balance)::bigint from credit_accounts")
                    .await,
                80
            );
            // Who had chosen a password hears that it is gone, unless a new one is being chosen.
            app.mail("owner-1@example.com", "Set a new password").await;
        })
        .await;
}

#[tokio::test]
async fn an_account_whose_address_is_proven_keeps_its_password() {
    test_app()
        .worker()
        .run(async |app| {
            let email = "ada@example.com";
            let body = json!({"email": email, "password": "first password"});
            app.post("/auth/v1/signup", None, body).await;
            app.post("/auth/v1/recover", None, json!({"email": email}))
                .await;
            let mail = app.mail(email, "Choose a new password").await;
            let body = json!({"token": mail.secret(), "newPassword": "second password"});
            assert_eq!(
                app.post("/api/auth/reset-password", None, body)
                    .await
                    .status,
                201
            );
            app.post("/auth/v1/otp", None, json!({"email": email}))
                .await;
            let mail = app.mail(email, "Sign in to DayGen").await;
            app.follow(&mail.link()).await;
            let body = json!({"email": email, "password": "second password"});
            let answer = app
                .post("/auth/v1/token?grant_type=password", None, body)
                .await;
            assert_eq!(answer.status, 200);
        })
        .await;
}
