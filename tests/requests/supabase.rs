//! `/api/auth/*` over a Supabase project: what we ask of it, what its troubles become, and whose
//! account an identity of it is.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    Answer, Builder, TestApp,
    gotrue::{ANON_KEY, GoTrue, Mood, SERVICE_KEY, Seen, Signer},
    signing::SigningKey,
    snapshot::{redact, stable},
    test_app,
};

const EMAIL: &str = "grace@example.com";
const PASSWORD: &str = "correct horse";

fn over(gotrue: &GoTrue) -> Builder {
    test_app()
        .set("/identity/supabase/url", gotrue.base.as_str())
        .set("/identity/supabase/service_role_key", SERVICE_KEY)
        .set("/auth/anon_key", ANON_KEY)
}

fn credentials() -> Value {
    json!({"email": EMAIL, "password": PASSWORD, "displayName": "Grace"})
}

fn calls(seen: &[Seen], known: &[(&str, &str)]) -> Value {
    let calls = seen
        .iter()
        .map(|call| json!({"call": call.line, "body": call.body}));
    redact(&calls.collect(), known)
}

async fn log_in(app: &TestApp) -> Answer {
    let body = json!({"email": EMAIL, "password": PASSWORD});
    app.post("/api/auth/login", None, body).await
}

#[tokio::test]
async fn each_route_asks_the_project_what_it_should() {
    let key = SigningKey::p256("project-key");
    let gotrue = GoTrue::signing_with(Signer::Key(key)).await;
    over(&gotrue)
        .set("/identity/dev_login", "true")
        .set("/http/frontend_url", "https://site.example")
        .run(async |app| {
            let mut all = serde_json::Map::new();
            let mut note = |name: &str, known: &[(&str, &str)]| {
                all.insert(name.to_owned(), calls(&gotrue.take_seen(), known));
            };
            app.post("/api/auth/signup", None, credentials()).await;
            note("sign-up", &[]);
            let body = json!({"email": "new@example.com"});
            app.post("/api/auth/signup", None, body.clone()).await;
            note("sign-up without password", &[]);
            app.post("/api/auth/magic-link", None, body).await;
            note("magic link", &[]);
            let signed_in = log_in(app).await.json;
            let id = signed_in["user"]["id"].as_str().unwrap().to_owned();
            let token = signed_in["accessToken"].as_str().unwrap().to_owned();
            let known = [(id.as_str(), "user"), (token.as_str(), "token")];
            note("log-in, first sight", &known);
            log_in(app).await;
            app.get("/api/auth/me", Some(&token)).await;
            let body = json!({"access_token": token});
            app.post("/api/auth/oauth-callback", None, body).await;
            app.get("/api/users/me", Some(&token)).await;
            note("log-in, me, callback and guard of a known user", &known);
            let body = json!({"email": EMAIL});
            app.post("/api/auth/forgot-password", None, body).await;
            note("forgotten password", &[]);
            let hash = gotrue.mailed_hash("recovery", EMAIL);
            let body = json!({"token": hash, "newPassword": "another horse"});
            app.post("/api/auth/reset-password", None, body).await;
            note("reset by hash", &[(&hash, "hash")]);
            let body = json!({"token": token, "newPassword": PASSWORD});
            app.post("/api/auth/reset-password", None, body).await;
            note("reset by token", &known);
            gotrue.know_google_token("google-id-token", EMAIL);
            let body = json!({"idToken": "google-id-token", "nonce": "a-nonce"});
            app.post("/api/auth/google/verify", None, body).await;
            note("google", &[]);
            assert!(gotrue.is_live(&token));
            app.call(Method::POST, "/api/auth/signout", Some(&token), None)
                .await;
            assert!(!gotrue.is_live(&token), "that session has ended");
            app.call(Method::POST, "/api/auth/signout", Some(&token), None)
                .await;
            app.call(Method::POST, "/api/auth/signout", None, None)
                .await;
            app.call(Method::POST, "/api/auth/signout", Some("junk"), None)
                .await;
            note("sign-out, twice, without and with a bad token", &known);
            let developer = app.call(Method::POST, "/api/auth/dev-login", None, None);
            let developer = developer.await;
            assert_eq!(developer.status, 201, "{}", developer.json);
            let dev = developer.json["user"]["id"].as_str().unwrap().to_owned();
            let hash = gotrue.take_seen();
            let spent = hash[2].body["token_hash"].as_str().unwrap().to_owned();
            let known = [(dev.as_str(), "developer"), (spent.as_str(), "hash")];
            all.insert("dev-login".to_owned(), calls(&hash, &known));
            insta::assert_json_snapshot!("supabase_calls", all);

            let missing = app.post("/auth/v1/signup", None, credentials()).await;
            insta::assert_json_snapshot!("supabase_no_gotrue", stable(&missing, &[]));
        })
        .await;
}

#[tokio::test]
async fn troubles_of_the_project_are_told_for_what_they_are() {
    let gotrue = GoTrue::start().await;
    let id = gotrue.add_user(EMAIL, PASSWORD, true);
    over(&gotrue)
        .set("/auth/limits/mail_recipient/burst", 1_000)
        .run(async |app| {
            let token = gotrue.token_of(&id);
            let email = json!({"email": EMAIL});
            let reset = json!({"token": "some-hash", "newPassword": PASSWORD});
            let routes = [
                ("signup", credentials()),
                ("signup", email.clone()),
                ("login", credentials()),
                ("magic-link", email.clone()),
                ("forgot-password", email.clone()),
                ("reset-password", reset),
                ("google/verify", json!({"idToken": "a.b.c"})),
                ("oauth-callback", json!({"access_token": token})),
            ];
            for (mood, wanted) in [(Mood::Down, 503), (Mood::Busy, 429)] {
                gotrue.set_mood(mood);
                for (route, body) in &routes {
                    let path = format!("/api/auth/{route}");
                    let answer = app.post(&path, None, body.clone()).await;
                    assert_eq!(answer.status, wanted, "{route}: {}", answer.json);
                    assert!(answer.header("retry-after").is_some(), "{route}");
                }
                let me = app.get("/api/users/me", Some(&token)).await;
                assert_eq!(me.status, wanted);
                assert_eq!(app.count("select count(*) from users").await, 0);
            }
            let busy = app.post("/api/auth/magic-link", None, email).await;
            assert_eq!(busy.header("retry-after"), Some("7"));
            insta::assert_json_snapshot!("supabase_busy", stable(&busy, &[]));
            gotrue.set_mood(Mood::Down);
            insta::assert_json_snapshot!("supabase_down", stable(&log_in(app).await, &[]));

            // A known defect of the look-up: what the token proves has to do.
            gotrue.set_mood(Mood::NullDefect);
            let me = app.get("/api/auth/me", Some(&token)).await;
            assert_eq!((me.status, &me.json["email"]), (200, &json!(EMAIL)));
            // Known users need nothing of the project.
            gotrue.set_mood(Mood::Down);
            assert_eq!(app.get("/api/auth/me", Some(&token)).await.status, 200);
            gotrue.set_mood(Mood::Well);
        })
        .await;
}

#[tokio::test]
async fn nobody_answers_where_the_project_should_be() {
    let gotrue = GoTrue::start().await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nowhere = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    over(&gotrue)
        .set("/identity/supabase/url", nowhere)
        .run(async |app| assert_eq!(log_in(app).await.status, 503))
        .await;
}

#[tokio::test]
async fn accounts_that_wait_for_their_mail_tell_nothing_and_make_nothing() {
    let gotrue = GoTrue::start().await;
    gotrue.set_confirms_at_once(false);
    over(&gotrue)
        .run(async |app| {
            let first = app.post("/api/auth/signup", None, credentials()).await;
            insta::assert_json_snapshot!("supabase_unconfirmed", stable(&first, &[]));
            let taken = app.post("/api/auth/signup", None, credentials()).await;
            assert_eq!((taken.status, &taken.json), (first.status, &first.json));
            let early = log_in(app).await;
            insta::assert_json_snapshot!("supabase_early", stable(&early, &[]));
            let weak = json!({"email": "b@example.com", "password": "letmein-letmein"});
            let weak = app.post("/api/auth/signup", None, weak).await;
            insta::assert_json_snapshot!("supabase_weak", stable(&weak, &[]));
            assert_eq!(app.count("select count(*) from users").await, 0);
        })
        .await;
}

#[tokio::test]
async fn twenty_first_requests_make_one_user_and_a_stranger_makes_none() {
    let gotrue = GoTrue::start().await;
    let id = gotrue.add_user(EMAIL, PASSWORD, true);
    let gone = gotrue.add_user("gone@example.com", PASSWORD, true);
    over(&gotrue)
        .run(async |app| {
            let token = gotrue.token_of(&id);
            let body = json!({"access_token": token});
            let answers = futures_util::future::join_all(
                (0..20).map(|_| app.post("/api/auth/oauth-callback", None, body.clone())),
            )
            .await;
            for answer in answers {
                assert_eq!(
                    (answer.status, &answer.json["user"]["id"]),
                    (201, &json!(id))
                );
            }
            let grants = "select count(*) from credit_transactions where kind = 'welcome'";
            assert_eq!(app.count(grants).await, 1);

            let token = gotrue.token_of(&gone);
            gotrue.remove_user(&gone);
            let answer = app.get("/api/users/me", Some(&token)).await;
            assert_eq!(
                (answer.status, &answer.json["code"]),
                (401, &json!("SESSION_INVALID"))
            );
            assert_eq!(app.count("select count(*) from users").await, 1);

            // A changed address comes along, without a look at the project on every request.
            gotrue.move_user(&id, "hopper@example.com");
            let token = gotrue.token_of(&id);
            let me = app.get("/api/auth/me", Some(&token)).await;
            assert_eq!(me.json["email"], "hopper@example.com");
            gotrue.take_seen();
            app.get("/api/auth/me", Some(&token)).await;
            assert_eq!(gotrue.take_seen().len(), 0);

            // The address that became free is somebody else's: a new user, not this one's account.
            let heir = gotrue.add_user(EMAIL, PASSWORD, true);
            gotrue.move_user(&id, "grace.hopper@example.com");
            let me = app.get("/api/auth/me", Some(&gotrue.token_of(&heir))).await;
            assert_eq!((me.status, &me.json["id"]), (200, &json!(heir)));
            let next = gotrue.add_user("hopper@example.com", PASSWORD, true);
            let me = app.get("/api/auth/me", Some(&gotrue.token_of(&next))).await;
            assert_eq!((me.status, &me.json["id"]), (200, &json!(next)));
            let me = app.get("/api/auth/me", Some(&gotrue.token_of(&id))).await;
            assert_eq!(me.json["email"], "grace.hopper@example.com");
            assert_eq!(me.json["id"], json!(id));
        })
        .await;
}

#[tokio::test]
async fn moving_from_our_own_accounts_takes_a_proven_address() {
    let gotrue = GoTrue::start().await;
    test_app()
        .run(async |old| {
            let body = json!({"email": EMAIL, "password": PASSWORD});
            let session = old.post("/auth/v1/signup", None, body.clone()).await.json;
            let ours = session["user"]["id"].as_str().unwrap().to_owned();
            let id = gotrue.add_user(EMAIL, PASSWORD, false);
            let token = gotrue.token_of(&id);
            over(&gotrue)
                .on(old)
                .run(async |app| {
                    let unproven = app.get("/api/users/me", Some(&token)).await;
                    assert_eq!(
                        (unproven.status, &unproven.json["code"]),
                        (401, &json!("SESSION_INVALID"))
                    );
                    let taken = "select count(*) from identities where provider = 'supabase'";
                    assert_eq!(app.count(taken).await, 0);

                    gotrue.remove_user(&id);
                    let owner = gotrue.add_user(EMAIL, PASSWORD, true);
                    let token = gotrue.token_of(&owner);
                    let me = app.get("/api/users/me", Some(&token)).await;
                    assert_eq!((me.status, &me.json["id"]), (200, &json!(ours)));
                    assert_eq!(me.json["credits"], 20);
                })
                .await;
            // Whoever registered the address without proof keeps nothing of it.
            assert_eq!(old.post("/api/auth/login", None, body).await.status, 401);
            let token = session["access_token"].as_str().unwrap();
            assert_eq!(old.get("/api/users/me", Some(token)).await.status, 401);
        })
        .await;
}
