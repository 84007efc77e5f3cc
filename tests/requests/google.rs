//! `POST /api/auth/google/verify` over our own accounts, with ID tokens that are really signed.

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::{
    Answer, Builder, TestApp, google,
    google::{Google, id_claims},
    snapshot::stable,
    sse::Stream,
    test_app, tokens,
};

const CLIENT: &str = "daygen-web.apps.googleusercontent.com";
const SUBJECT: &str = "110169484474386276334";
const EMAIL: &str = "grace@example.com";
const PATH: &str = "/api/auth/google/verify";

fn over(google: &Google) -> Builder {
    test_app()
        .set("/identity/google/base", google.base.as_str())
        .set(
            "/identity/google/client_ids",
            format!("{CLIENT},daygen-ios"),
        )
}

fn claims() -> Value {
    id_claims(CLIENT, SUBJECT, EMAIL)
}

fn with(key: &str, value: Value) -> Value {
    let mut claims = claims();
    if value.is_null() {
        claims.as_object_mut().unwrap().remove(key);
    } else {
        claims[key] = value;
    }
    claims
}

async fn show(app: &TestApp, id_token: &str) -> Answer {
    app.post(PATH, None, json!({"idToken": id_token})).await
}

#[tokio::test]
async fn a_google_account_signs_in_and_is_one_user_for_ever() {
    let google = Google::start().await;
    over(&google)
        .run(async |app| {
            let token = google.sign(&claims());
            let answers = futures_util::future::join_all((0..8).map(|_| show(app, &token))).await;
            let id = answers[0].json["profile"]["id"]
                .as_str()
                .unwrap()
                .to_owned();
            for answer in &answers {
                assert_eq!(
                    (answer.status, &answer.json["profile"]["id"]),
                    (201, &json!(id))
                );
            }
            let answer = &answers[0];
            let text = |key: &str| answer.json[key].as_str().unwrap().to_owned();
            let (access, refresh) = (text("accessToken"), text("refreshToken"));
            let known = [
                (id.as_str(), "user"),
                (access.as_str(), "token"),
                (refresh.as_str(), "refresh"),
            ];
            insta::assert_json_snapshot!("google", stable(answer, &known));
            assert_eq!(app.count("select count(*) from users").await, 1);
            let grants = "select count(*) from credit_transactions where kind = 'welcome'";
            assert_eq!(app.count(grants).await, 1);
            let body = json!({"refresh_token": refresh});
            let path = "/auth/v1/token?grant_type=refresh_token";
            assert_eq!(app.post(path, None, body).await.status, 200);

            // Google's id of an account lasts; its address and picture need not.
            let moved = google.sign(&with("email", json!("grace@elsewhere.example")));
            let again = show(app, &moved).await;
            assert_eq!(again.json["profile"]["id"], json!(id));
            assert_eq!(again.json["profile"]["email"], json!(EMAIL));
            let ios = google.sign(&with("aud", json!("daygen-ios")));
            assert_eq!(show(app, &ios).await.status, 201, "any of our clients");
            assert_eq!(google.asked_for_keys(), 1);
        })
        .await;
}

#[tokio::test]
async fn what_google_did_not_sign_for_us_and_now_is_refused() {
    let google = Google::start().await;
    over(&google)
        .run(async |app| {
            let now = chrono::Utc::now().timestamp();
            let text = claims().to_string();
            let pem = google::public_pem(0);
            let refused = [
                ("forged", google.forge(&claims())),
                (
                    "for somebody else",
                    google.sign(&with("aud", json!("another-client"))),
                ),
                ("for nobody", google.sign(&with("aud", Value::Null))),
                (
                    "by somebody else",
                    google.sign(&with("iss", json!("https://accounts.example.com"))),
                ),
                ("by nobody", google.sign(&with("iss", Value::Null))),
                ("expired", google.sign(&with("exp", json!(now - 60)))),
                ("without expiry", google.sign(&with("exp", Value::Null))),
                (
                    "address not verified",
                    google.sign(&with("email_verified", json!(false))),
                ),
                (
                    "verified is not said",
                    google.sign(&with("email_verified", Value::Null)),
                ),
                (
                    "verified as a text that says no",
                    google.sign(&with("email_verified", json!("false"))),
                ),
                ("no address", google.sign(&with("email", Value::Null))),
                ("no subject", google.sign(&with("sub", json!("")))),
                (
                    "nonce of another sign-in",
                    google.sign(&with("nonce", json!("abc"))),
                ),
                (
                    "our own secret",
                    tokens::sign(&claims(), Algorithm::HS256, tokens::SECRET),
                ),
                (
                    "the public key as secret",
                    tokens::sign(&claims(), Algorithm::HS256, &pem),
                ),
                ("unsigned", tokens::unsigned(&claims())),
                ("not a token", text),
            ];
            for (name, token) in &refused {
                let answer = show(app, token).await;
                assert_eq!(
                    (answer.status, &answer.json["message"]),
                    (400, &json!("Google authentication failed")),
                    "{name}"
                );
            }
            assert_eq!(app.count("select count(*) from users").await, 0);
            let answer = show(app, &refused[0].1).await;
            insta::assert_json_snapshot!("google_refused", stable(&answer, &[]));
            let missing = app.post(PATH, None, json!({})).await;
            insta::assert_json_snapshot!("google_missing", stable(&missing, &[]));

            let raw = "a-nonce-of-this-sign-in";
            let hashed = format!("{:x}", Sha256::digest(raw));
            let token = google.sign(&with("nonce", json!(hashed)));
            for (nonce, wanted) in [(json!(null), 400), (json!(hashed), 400), (json!(raw), 201)] {
                let body = json!({"idToken": token, "nonce": nonce});
                assert_eq!(app.post(PATH, None, body).await.status, wanted, "{nonce}");
            }
        })
        .await;
    test_app()
        .set("/identity/google/base", google.base.as_str())
        .run(async |app| {
            let answer = show(app, &google.sign(&claims())).await;
            assert_eq!(answer.status, 400, "without a client id nothing is for us");
        })
        .await;
}

#[tokio::test]
async fn the_owner_of_an_address_takes_it_from_who_registered_it_first() {
    let google = Google::start().await;
    over(&google)
        .run(async |app| {
            let body = json!({"email": EMAIL, "password": "a strangers password"});
            let stranger = app.post("/auth/v1/signup", None, body.clone()).await.json;
            let token = stranger["access_token"].as_str().unwrap();
            let name = json!({"displayName": "Stranger"});
            let change = app.call(
                reqwest::Method::PATCH,
                "/api/users/me",
                Some(token),
                Some(name),
            );
            assert_eq!(change.await.status, 200);

            let mut stream = Stream::open(app, "/api/events", token, None).await;

            let owner = show(app, &google.sign(&claims())).await;
            assert_eq!(owner.json["profile"]["id"], stranger["user"]["id"]);
            assert_eq!(
                owner.json["profile"]["credits"], 20,
                "one grant for one address"
            );
            let owners = owner.json["accessToken"].as_str().unwrap();
            assert_eq!(app.get("/api/users/me", Some(owners)).await.status, 200);

            let old = app.get("/api/users/me", Some(token)).await;
            assert_eq!(
                (old.status, &old.json["code"]),
                (401, &json!("SESSION_INVALID"))
            );
            let refresh = json!({"refresh_token": stranger["refresh_token"]});
            let refreshed = app.post("/auth/v1/token?grant_type=refresh_token", None, refresh);
            assert_eq!(refreshed.await.status, 400);
            let log_in = app.post("/api/auth/login", None, body).await;
            assert_eq!(log_in.status, 401, "the unproven password is gone");
            assert_eq!(app.count("select count(*) from users").await, 1);

            while let Some(block) = stream.block().await {
                assert_eq!(block.data, None, "the stranger sees nothing of the owner's");
            }

            // From now on the address is proven: a second arrival ends nothing.
            let again = show(app, &google.sign(&claims())).await;
            assert_eq!(again.status, 201);
            assert_eq!(app.get("/api/users/me", Some(owners)).await.status, 200);
        })
        .await;
}
