//! Sign-in at Google by redirect.

use serde_json::json;

use crate::support::{
    google::{Google, id_claims},
    inbox::{fragment, query},
    test_app,
};

const CLIENT: &str = "our-client.apps.googleusercontent.com";
// The example of RFC 7636 appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

#[tokio::test]
async fn a_browser_goes_to_google_and_comes_back_with_a_code() {
    let google = Google::start().await;
    test_app()
        .set("/identity/google/client_ids", CLIENT)
        .set("/identity/google/client_secret", "the-client-secret")
        .set("/identity/google/base", google.base.as_str())
        .run(async |app| {
            let settings = app.get("/auth/v1/settings", None).await;
            assert_eq!(settings.json["external"]["google"], true);
            let begin = format!("{}/auth/v1/authorize?provider=google&redirect_to=http://localhost:5173/auth/callback", app.base);
            let pkce = format!("{begin}&code_challenge={CHALLENGE}&code_challenge_method=s256");
            let claims = id_claims(CLIENT, "grace", "grace@example.com");

            let away = app.follow(&pkce).await;
            assert_eq!(away.path(), "/o/oauth2/v2/auth");
            let back = google.consent(&away, claims.clone());
            let end = app.follow(&back).await;
            assert_eq!(end.path(), "/auth/callback");
            assert_eq!(query(&end, "type"), None, "never beside a code");
            let grant = json!({"auth_code": query(&end, "code").unwrap(), "code_verifier": VERIFIER});
            let path = "/auth/v1/token?grant_type=pkce";
            let session = app.post(path, None, grant.clone()).await;
            assert_eq!(session.status, 200, "{}", session.json);
            assert_eq!(session.json["user"]["app_metadata"]["providers"], json!(["google"]));
            let again = app.post(path, None, grant).await;
            assert_eq!((again.status, &again.json["error_code"]), (404, &json!("flow_state_not_found")));
            let replayed = app.follow(&back).await;
            assert_eq!(query(&replayed, "error_code").unwrap(), "flow_state_not_found");

            // Without a challenge the tokens stand behind the #.
            let away = app.follow(&begin).await;
            let end = app.follow(&google.consent(&away, claims.clone())).await;
            let token = fragment(&end, "access_token").unwrap();
            assert_eq!(app.get("/api/auth/me", Some(&token)).await.json["displayName"], "Grace Hopper");
            assert_eq!(app.count("select count(*) from users").await, 1);

            // A token for another sign-in, an address that Google has not seen proof of, a person who says no.
            let mut foreign = claims.clone();
            foreign["nonce"] = json!("of another sign-in");
            let mut unproven = claims.clone();
            unproven["email_verified"] = json!(false);
            for claims in [foreign, unproven] {
                let away = app.follow(&pkce).await;
                let end = app.follow(&google.consent(&away, claims)).await;
                assert_eq!(end.path(), "/auth/callback");
                assert!(query(&end, "error").is_some());
                assert_eq!(query(&end, "code"), None);
            }
            let away = app.follow(&pkce).await;
            let state = query(&away, "state").unwrap();
            let no = format!("{}/auth/v1/callback?error=access_denied&state={state}", app.base);
            let end = app.follow(&no).await;
            assert_eq!(query(&end, "error_description").unwrap(), "access_denied");
            let end = app.follow(&format!("{}/auth/v1/callback?code=x&state=made-up", app.base)).await;
            assert_eq!(query(&end, "error_code").unwrap(), "flow_state_not_found");
            let other = app.get("/auth/v1/authorize?provider=facebook", None).await;
            assert_eq!((other.status, &other.json["error_code"]), (400, &json!("provider_disabled")));
        })
        .await;
}
