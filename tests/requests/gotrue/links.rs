//! Mailed links and codes.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    TestApp,
    inbox::{fragment, query},
    test_app,
};

const SIGN_IN: &str = "Sign in to DayGen";
const RESET: &str = "Choose a new password";

async fn log_in(app: &TestApp, email: &str, password: &str) -> u16 {
    let body = json!({"email": email, "password": password});
    let path = "/auth/v1/token?grant_type=password";
    app.post(path, None, body).await.status
}

async fn verify(app: &TestApp, body: Value) -> (u16, Value) {
    let answer = app.post("/auth/v1/verify", None, body).await;
    (answer.status, answer.json["error_code"].clone())
}

#[tokio::test]
async fn a_link_works_once_for_what_it_is_and_not_for_long() {
    test_app()
        .worker()
        .run(async |app| {
            let email = "ada@example.com";
            let ask = json!({"email": email});
            let path = "/auth/v1/otp?redirect_to=https://evil.example/steal";
            assert_eq!(app.post(path, None, ask.clone()).await.status, 200);
            let mail = app.mail(email, SIGN_IN).await;
            assert_eq!(
                app.count("select count(*) from users").await,
                0,
                "not before the proof"
            );

            // Programs that look at links use nothing up.
            let request = app.request(Method::HEAD, mail.link().strip_prefix(&app.base).unwrap());
            assert_eq!(app.send(request).await.status, 200);
            let secret = mail.secret();
            let wrong_kind = json!({"type": "recovery", "token_hash": secret});
            assert_eq!(verify(app, wrong_kind).await, (403, json!("otp_expired")));
            let end = app.follow(&mail.link()).await;
            assert_eq!(
                end.origin().ascii_serialization(),
                "http://localhost:5173",
                "not to a stranger"
            );
            let token = fragment(&end, "access_token").unwrap();
            assert_eq!(fragment(&end, "type").unwrap(), "magiclink");
            let me = app.get("/api/auth/me", Some(&token)).await;
            assert_eq!((me.status, &me.json["credits"]), (200, &json!(20)));
            let again = app.follow(&mail.link()).await;
            assert_eq!(query(&again, "error_code").unwrap(), "otp_expired");
            assert_eq!(fragment(&again, "access_token"), None);

            assert_eq!(app.post("/auth/v1/otp", None, ask).await.status, 200);
            app.mails_done().await;
            app.execute("update one_time_tokens set expires_at = now() - interval '1 second'")
                .await;
            let late = app.mails(email).await.remove(0);
            assert_ne!(late.secret(), secret);
            let body = json!({"type": "magiclink", "token_hash": late.secret()});
            assert_eq!(verify(app, body).await, (403, json!("otp_expired")));
            assert_eq!(app.count("select count(*) from users").await, 1);
        })
        .await;
}

#[tokio::test]
async fn wrong_codes_are_counted_and_the_link_still_works() {
    test_app()
        .worker()
        .run(async |app| {
            let email = "ada@example.com";
            app.post("/auth/v1/otp", None, json!({"email": email}))
                .await;
            let mail = app.mail(email, SIGN_IN).await;
            let wrong = if mail.code() == "000000" {
                "111111"
            } else {
                "000000"
            };
            for code in [wrong, wrong, wrong, wrong, wrong, &mail.code()] {
                let body = json!({"type": "email", "email": email, "token": code});
                assert_eq!(verify(app, body).await, (403, json!("otp_expired")));
            }
            let end = app.follow(&mail.link()).await;
            assert!(fragment(&end, "access_token").is_some());
        })
        .await;
}

#[tokio::test]
async fn a_sign_up_that_has_to_be_confirmed_waits_for_its_link() {
    test_app()
        .worker()
        .set("/auth/confirm_email", "true")
        .run(async |app| {
            let email = "ada@example.com";
            let body = json!({"email": email, "password": "correct horse", "data": {"display_name": "Ada"}});
            let new = app.post("/auth/v1/signup", None, body.clone()).await;
            assert_eq!((new.status, &new.json["access_token"]), (200, &Value::Null));
            assert_eq!(app.count("select count(*) from users").await, 0);
            let mail = app.mail(email, "Confirm your address").await;
            let path = "/auth/v1/token?grant_type=password";
            let right = app.post(path, None, body.clone()).await;
            assert_eq!((right.status, &right.json["error_code"]), (400, &json!("email_not_confirmed")));
            let wrong = json!({"email": email, "password": "not the one"});
            let wrong = app.post(path, None, wrong).await;
            assert_eq!(wrong.json["error_code"], "invalid_credentials");

            let resend = json!({"type": "signup", "email": email});
            assert_eq!(app.post("/auth/v1/resend", None, resend).await.status, 200);
            app.mails_done().await;
            assert_eq!(app.mails(email).await.len(), 2);
            let end = app.follow(&mail.link()).await;
            let token = fragment(&end, "access_token").unwrap();
            assert_eq!(app.get("/api/auth/me", Some(&token)).await.json["displayName"], "Ada");
            assert_eq!(log_in(app, email, "correct horse").await, 200);

            // The same answer for an address that is known; only its owner learns of it.
            let known = app.post("/auth/v1/signup", None, body).await;
            let keys = |answer: &Value| answer.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
            assert_eq!((known.status, keys(&known.json)), (200, keys(&new.json)));
            app.mail(email, "You have an account already").await;
        })
        .await;
}

#[tokio::test]
async fn asking_for_mails_tells_nothing_about_an_address() {
    test_app()
        .worker()
        .run(async |app| {
            let user = app.user().await;
            for path in [
                "/auth/v1/recover",
                "/auth/v1/otp",
                "/auth/v1/resend",
                "/api/auth/forgot-password",
            ] {
                let mut answers = Vec::new();
                for email in [user.email.as_str(), "nobody@example.com"] {
                    let body = json!({"email": email, "type": "signup", "create_user": false});
                    let answer = app.post(path, None, body).await;
                    answers.push((answer.status, answer.bytes));
                }
                assert_eq!(answers[0], answers[1], "{path}");
            }
            app.mails_done().await;
            assert_eq!(app.mails("nobody@example.com").await.len(), 0);
            assert_eq!(app.count("select count(*) from users").await, 1);
            let plain = "select count(*) from one_time_tokens where octet_length(link_hash) <> 32";
            assert_eq!(app.count(plain).await, 0);
        })
        .await;
}

#[tokio::test]
async fn the_own_page_takes_a_new_password_where_the_clients_page_cannot() {
    test_app()
        .worker()
        .run(async |app| {
            let user = app.user().await;
            let path = "/auth/v1/recover?redirect_to=http://localhost:5173/auth/reset-password";
            app.post(path, None, json!({"email": user.email})).await;
            let mail = app.mail(&user.email, RESET).await;
            let page = app.follow(&mail.link()).await;
            assert_eq!(page.path(), "/auth/v1/reset-password");
            let path = format!("{}?{}", page.path(), page.query().unwrap());
            let form = app.get(&path, None).await;
            assert_eq!(form.status, 200);
            assert!(
                String::from_utf8(form.bytes)
                    .unwrap()
                    .contains("minlength=\"8\"")
            );

            for (password, status) in [
                ("short", 422),
                ("password1", 422),
                ("staple of the battery", 200),
                ("another one again", 403),
            ] {
                let body = url::form_urlencoded::Serializer::new(String::new())
                    .append_pair("token", &mail.secret())
                    .append_pair("password", password)
                    .finish();
                let request = app
                    .request(Method::POST, "/auth/v1/reset-password")
                    .header("content-type", "application/x-www-form-urlencoded")
                    .body(body);
                assert_eq!(app.send(request).await.status, status, "{password}");
            }
            assert_eq!(log_in(app, &user.email, "correct horse").await, 400);
            assert_eq!(log_in(app, &user.email, "staple of the battery").await, 200);
            app.mail(&user.email, "Your password was changed").await;
        })
        .await;
}

#[tokio::test]
async fn a_logged_out_token_changes_nothing() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            app.call(Method::POST, "/auth/v1/logout", Some(&user.token), None)
                .await;
            let body = json!({"password": "staple of the battery"});
            let answer = app
                .call(Method::PUT, "/auth/v1/user", Some(&user.token), Some(body))
                .await;
            assert_eq!(
                (answer.status, &answer.json["error_code"]),
                (403, &json!("session_not_found"))
            );
            assert_eq!(log_in(app, &user.email, "correct horse").await, 200);
        })
        .await;
}
