//! `/api/auth/*` gives the same answers over our own accounts and over a Supabase project.

use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::support::{
    Answer, TestApp,
    google::{Google, id_claims},
    gotrue::{ANON_KEY, GoTrue, SERVICE_KEY},
    snapshot::stable,
    test_app,
};

const EMAIL: &str = "grace@example.com";
const CLIENT: &str = "daygen-web.apps.googleusercontent.com";

/// Answers by name, with what differs from run to run checked and hidden.
#[derive(Default)]
struct Answers(Map<String, Value>);

impl Answers {
    fn keep(&mut self, name: &str, answer: &Answer) {
        let mut shown = stable(answer, &[]);
        let body = &mut shown["body"];
        for key in ["accessToken", "refreshToken"] {
            if let Some(token) = body.get_mut(key) {
                let text = token.as_str().unwrap();
                assert!(text.len() > 10 && (key == "refreshToken" || text.split('.').count() == 3));
                *token = json!(format!("[{key}]"));
            }
        }
        for pointer in ["", "/user", "/profile"] {
            let Some(user) = body.pointer_mut(pointer) else {
                continue;
            };
            if let Some(id) = user.get("authUserId").cloned() {
                assert!(uuid::Uuid::parse_str(id.as_str().unwrap()).is_ok());
                assert_eq!(user["id"], id);
                user["id"] = json!("[user]");
                user["authUserId"] = json!("[user]");
            }
        }
        if name == "google" {
            // The provider's own object: only what it is about is the same everywhere.
            let user = body["user"].take();
            body["user"] = json!({"email": user["email"], "role": user["role"]});
        }
        assert!(self.0.insert(name.to_owned(), shown).is_none(), "{name}");
    }
}

fn text(answer: &Answer, key: &str) -> String {
    answer.json[key].as_str().unwrap().to_owned()
}

/// All the routes, well and badly used. `hash` gives the token hash that a recovery mail carries.
async fn walk(app: &TestApp, google_token: &str, hash: impl AsyncFn() -> String) -> Value {
    let mut all = Answers::default();
    let mut post = async |name: &str, route: &str, body: Value| {
        let answer = app.post(&format!("/api/auth/{route}"), None, body).await;
        all.keep(name, &answer);
        answer
    };
    let named = |password: &str| json!({"email": EMAIL, "password": password});
    post(
        "signup invalid",
        "signup",
        json!({"email": "x", "password": "short"}),
    )
    .await;
    let mut new = named("correct horse");
    new["displayName"] = json!("Grace");
    post("signup", "signup", new.clone()).await;
    post("signup taken", "signup", new).await;
    let link = json!({"email": "link@example.com", "displayName": "Link"});
    post("signup by link", "signup", link).await;
    post("login invalid", "login", json!({})).await;
    post("login wrong", "login", named("wrong horses")).await;
    let unknown = json!({"email": "nobody@example.com", "password": "correct horse"});
    post("login unknown", "login", unknown).await;
    let signed_in = post("login", "login", named("correct horse")).await;
    let (token, refresh) = (
        text(&signed_in, "accessToken"),
        text(&signed_in, "refreshToken"),
    );
    let pair = json!({"access_token": token, "refresh_token": refresh});
    let callback = app.post("/api/auth/oauth-callback", None, pair).await;
    assert_eq!(callback.json["accessToken"], json!(token), "an echo");
    post(
        "oauth-callback",
        "oauth-callback",
        json!({"access_token": token}),
    )
    .await;
    post("oauth-callback without", "oauth-callback", json!({})).await;
    post(
        "oauth-callback junk",
        "oauth-callback",
        json!({"access_token": "a.b.c"}),
    )
    .await;

    post("forgot", "forgot-password", json!({"email": EMAIL})).await;
    let secret = hash().await;
    post(
        "forgot unknown",
        "forgot-password",
        json!({"email": "nobody@example.com"}),
    )
    .await;
    post(
        "forgot invalid",
        "forgot-password",
        json!({"email": "nobody"}),
    )
    .await;
    post("magic link", "magic-link", json!({"email": EMAIL})).await;
    post(
        "magic link new",
        "magic-link",
        json!({"email": "new@example.com"}),
    )
    .await;
    post("magic link invalid", "magic-link", json!({})).await;
    let reset = |token: &str, password: &str| json!({"token": token, "newPassword": password});
    post(
        "reset invalid",
        "reset-password",
        json!({"newPassword": "short"}),
    )
    .await;
    post(
        "reset unknown",
        "reset-password",
        reset("nobodys-hash", "second horse"),
    )
    .await;
    post(
        "reset forged",
        "reset-password",
        reset("a.b.c", "second horse"),
    )
    .await;
    post("reset", "reset-password", reset(&secret, "second horse")).await;
    post(
        "reset again",
        "reset-password",
        reset(&secret, "third horses"),
    )
    .await;
    post("login old", "login", named("correct horse")).await;
    let signed_in = post("login new", "login", named("second horse")).await;
    let token = text(&signed_in, "accessToken");
    post(
        "reset to the same",
        "reset-password",
        reset(&token, "second horse"),
    )
    .await;
    post(
        "reset by token",
        "reset-password",
        reset(&token, "third horses"),
    )
    .await;
    post("login newest", "login", named("third horses")).await;
    post("google without", "google/verify", json!({})).await;
    post("google junk", "google/verify", json!({"idToken": "a.b.c"})).await;
    post("google", "google/verify", json!({"idToken": google_token})).await;
    post("dev-login", "dev-login", json!({})).await;
    post("signout", "signout", json!({})).await;

    let mut get = async |name: &str, path: &str, token: Option<&str>| {
        let answer = app.get(&format!("/api/auth/{path}"), token).await;
        all.keep(name, &answer);
        answer
    };
    get("me", "me", Some(&token)).await;
    get("me without", "me", None).await;
    get("me junk", "me", Some("a.b.c")).await;
    for (name, query) in [
        (
            "callback",
            format!("?access_token={token}&refresh_token=abcdefghijkl"),
        ),
        ("callback without", String::new()),
        ("callback junk", "?access_token=a.b.c".to_owned()),
    ] {
        let answer = get(name, &format!("callback{query}"), None).await;
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{name}");
    }
    let request = app
        .request(Method::GET, "/api/auth/me")
        .header("authorization", &token);
    assert_eq!(app.send(request).await.status, 200, "without a scheme");
    for (name, token) in [
        ("signout with", token.as_str()),
        ("signout twice", token.as_str()),
        ("signout junk", "junk"),
    ] {
        let answer = app.call(Method::POST, "/api/auth/signout", Some(token), None);
        all.keep(name, &answer.await);
    }
    assert_eq!(app.count("select count(*) from users").await, 3);
    Value::Object(all.0)
}

/// The secret of the link in the newest mail to the address that has one.
async fn mailed_secret(app: &TestApp) -> String {
    app.until("the recovery mail", async || {
        let path = format!("/dev/inbox.json?to={EMAIL}");
        let mails = app.get(&path, None).await.json["mails"].clone();
        let mails = mails.as_array().unwrap().clone();
        let text = mails.iter().map(|mail| mail["text"].as_str().unwrap());
        let link = text
            .filter(|text| text.contains("type=recovery"))
            .find_map(|text| {
                let at = text.find("/auth/v1/verify?")?;
                text[at..].split_whitespace().next().map(ToOwned::to_owned)
            })?;
        let url = url::Url::parse(&format!("http://localhost{link}")).unwrap();
        let secret = url
            .query_pairs()
            .find(|(key, _)| key == "token" || key == "token_hash");
        secret.map(|(_, secret)| secret.into_owned())
    })
    .await
}

#[tokio::test]
async fn every_route_answers_the_same_over_both_providers() {
    let google = Google::start().await;
    let claims = id_claims(CLIENT, "110169484474386276334", "hopper@example.com");
    let id_token = google.sign(&claims);
    let home = std::env::temp_dir().join(format!("daygen-test-{}", uuid::Uuid::new_v4()));
    let mut ours = Value::Null;
    test_app()
        .worker()
        .set("/home", home.to_str().unwrap())
        .set("/identity/dev_login", "true")
        .set("/identity/google/base", google.base.as_str())
        .set("/identity/google/client_ids", CLIENT)
        .run(async |app| ours = walk(app, &id_token, async || mailed_secret(app).await).await)
        .await;
    std::fs::remove_dir_all(&home).ok();

    let gotrue = GoTrue::start().await;
    gotrue.know_google_token(&id_token, "hopper@example.com");
    let mut theirs = Value::Null;
    test_app()
        .set("/identity/supabase/url", gotrue.base.as_str())
        .set("/identity/supabase/service_role_key", SERVICE_KEY)
        .set("/auth/anon_key", ANON_KEY)
        .set("/identity/dev_login", "true")
        .run(async |app| {
            let hash = async || gotrue.mailed_hash("recovery", EMAIL);
            theirs = walk(app, &id_token, hash).await;
        })
        .await;
    for (name, answer) in ours.as_object().unwrap() {
        assert_eq!(*answer, theirs[name], "{name}");
    }
    insta::assert_json_snapshot!("auth_over_both", ours);
}

#[tokio::test]
async fn the_developers_log_in_is_there_only_where_it_is_switched_on() {
    test_app()
        .run(async |app| {
            let answer = app.call(Method::POST, "/api/auth/dev-login", None, None);
            insta::assert_json_snapshot!("dev_login_off", stable(&answer.await, &[]));
            assert_eq!(app.count("select count(*) from users").await, 0);
        })
        .await;
}
