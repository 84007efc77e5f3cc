//! Tokens signed with published keys: rotation, outages, made-up key ids, and proofs that end.

use serde_json::{Value, json};

use crate::support::{
    Builder, TestApp, key_server::KeyServer, signing::SigningKey, test_app, tokens,
};

const SUBJECT: &str = "6f1b9a52-7a3e-4d5c-9b1f-0d2a3c4e5f60";

fn claims() -> Value {
    tokens::claims(SUBJECT, "grace@example.com")
}

fn over(server: &KeyServer) -> Builder {
    test_app().set("/identity/jwks/url", server.url.as_str())
}

async fn status(app: &TestApp, token: &str) -> u16 {
    app.get("/api/users/me", Some(token)).await.status
}

/// Asks until the token is answered so.
async fn becomes(app: &TestApp, token: &str, wanted: u16) {
    app.until(&format!("status {wanted}"), async || {
        (status(app, token).await == wanted).then_some(())
    })
    .await;
}

#[tokio::test]
async fn keys_are_fetched_once_and_anew_when_they_rotate() {
    let (old, new) = (SigningKey::p256("key-1"), SigningKey::ed25519("key-2"));
    let server = KeyServer::start(&[&old]).await;
    over(&server)
        .set("/identity/jwks/proof_s", 0)
        .run(async |app| {
            assert_eq!(server.asked(), 0, "nothing is fetched before it is needed");
            let (first, second) = (old.sign(&claims()), new.sign(&claims()));
            let answers = futures_util::future::join_all(
                (0..20).map(|_| app.get("/api/users/me", Some(&first))),
            )
            .await;
            assert!(answers.iter().all(|answer| answer.status == 200));
            assert_eq!(server.asked(), 1, "many tokens at once fetch once");
            assert_eq!(status(app, &second).await, 401, "nobody knows this key yet");
            server.set_max_age(3);
            server.publish(&[&old, &new]);
            becomes(app, &second, 200).await;
            assert_eq!(status(app, &first).await, 200, "both are published");
            server.publish(&[&new]);
            becomes(app, &first, 401).await;
            assert_eq!(status(app, &second).await, 200);
            let grants = "select count(*) from credit_transactions where kind = 'welcome'";
            assert_eq!(app.count(grants).await, 1);
        })
        .await;
}

#[tokio::test]
async fn known_keys_outlive_an_outage_for_a_while_and_unknown_ones_wait_for_its_end() {
    let (known, unknown) = (SigningKey::p256("key-1"), SigningKey::p256("key-2"));
    let server = KeyServer::start(&[&known]).await;
    server.set_down(true);
    over(&server)
        .set("/identity/jwks/life_s", 1)
        .set("/identity/jwks/last_good_s", 4)
        .set("/identity/jwks/proof_s", 0)
        .run(async |app| {
            let token = known.sign(&claims());
            let refused = app.get("/api/users/me", Some(&token)).await;
            assert_eq!(
                (refused.status, &refused.json["code"]),
                (503, &json!("IDENTITY_UNAVAILABLE"))
            );
            assert!(refused.header("retry-after").is_some());
            let body = json!({"access_token": token});
            let callback = app.post("/api/auth/oauth-callback", None, body).await;
            assert_eq!(callback.status, 503, "an outage is not the token's fault");
            let ours = tokens::good(&claims());
            assert_eq!(status(app, &ours).await, 200, "our secret needs no keys");

            server.set_down(false);
            becomes(app, &token, 200).await;
            server.set_down(true);
            // Beyond the keys' life, within the time that last good ones are trusted.
            let asked = server.asked();
            app.until("a fetch that fails", async || {
                assert_ne!(status(app, &token).await, 401);
                (server.asked() > asked).then_some(())
            })
            .await;
            let foreign = unknown.sign(&claims());
            assert_eq!(
                status(app, &foreign).await,
                503,
                "it may have come meanwhile"
            );
            // Longer than that, and no key is trusted any more.
            becomes(app, &token, 503).await;
            server.publish(&[&known, &unknown]);
            server.set_down(false);
            becomes(app, &token, 200).await;
            becomes(app, &foreign, 200).await;
        })
        .await;
}

#[tokio::test]
async fn a_proof_that_is_kept_ends_with_its_token() {
    let key = SigningKey::p256("key-1");
    let server = KeyServer::start(&[&key]).await;
    over(&server)
        .set("/identity/jwks/proof_s", 3_600)
        .run(async |app| {
            let mut short = claims();
            let end = chrono::Utc::now().timestamp() + 6;
            short["exp"] = json!(end);
            let token = key.sign(&short);
            // On a machine that takes seconds for this, the token may have ended already.
            let first = status(app, &token).await;
            assert!(first == 200 || chrono::Utc::now().timestamp() >= end);
            becomes(app, &token, 401).await;
            assert!(chrono::Utc::now().timestamp() >= end);
        })
        .await;
}
