//! `/api/users/me`.

use reqwest::Method;
use serde_json::json;

use crate::support::{snapshot::stable, test_app};

#[tokio::test]
async fn a_profile_is_shown_and_changed_field_by_field() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            let known = [(user.id.as_str(), "user"), (user.email.as_str(), "email")];
            let shown = app.get("/api/users/me", Some(&user.token)).await;
            insta::assert_json_snapshot!("users_me", stable(&shown, &known));

            let key = format!("profile-pictures/{}/face.png", user.id);
            let url = format!("{}/files/{key}", app.base);
            let body = json!({"profileImage": url});
            let changed = app
                .call(
                    Method::PATCH,
                    "/api/users/me",
                    Some(&user.token),
                    Some(body),
                )
                .await;
            assert_eq!(changed.json["profileImage"], url.as_str());
            assert_eq!(changed.json["displayName"], "Ada", "what is not sent stays");
            let body = json!({"displayName": "  Ada Lovelace  "});
            let changed = app
                .call(
                    Method::PATCH,
                    "/api/users/me",
                    Some(&user.token),
                    Some(body),
                )
                .await;
            assert_eq!(changed.json["displayName"], "Ada Lovelace");
            assert_eq!(
                changed.json["profileImage"],
                url.as_str(),
                "what is not sent stays"
            );
            let body = json!({"access_token": user.token});
            let callback = app.post("/api/auth/oauth-callback", None, body).await;
            assert_eq!(callback.json["user"]["displayName"], "Ada Lovelace");
            let body = json!({"profileImage": null});
            let cleared = app
                .call(
                    Method::PATCH,
                    "/api/users/me",
                    Some(&user.token),
                    Some(body),
                )
                .await;
            assert!(cleared.json["profileImage"].is_null());
        })
        .await;
}

#[tokio::test]
async fn bad_changes_change_nothing() {
    test_app()
        .run(async |app| {
            let (user, other) = (app.user().await, app.user().await);
            let foreign = format!("{}/files/profile-pictures/{}/face.png", app.base, other.id);
            for (name, body) in [
                ("short_name", json!({"displayName": " a "})),
                ("name_is_a_list", json!({"displayName": ["a", "b"]})),
                ("foreign_picture", json!({"profileImage": foreign})),
                (
                    "picture_elsewhere",
                    json!({"profileImage": "https://evil.example/x.png"}),
                ),
            ] {
                let answer = app
                    .call(
                        Method::PATCH,
                        "/api/users/me",
                        Some(&user.token),
                        Some(body),
                    )
                    .await;
                insta::assert_json_snapshot!(name, stable(&answer, &[]));
            }
            let shown = app.get("/api/users/me", Some(&user.token)).await;
            assert_eq!(shown.json["displayName"], "Ada");
            assert!(shown.json["profileImage"].is_null());
        })
        .await;
}

#[tokio::test]
async fn introducing_oneself_names_only_the_unnamed() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            let answer = app
                .post(
                    "/api/users/me",
                    Some(&user.token),
                    json!({"displayName": "Eve"}),
                )
                .await;
            assert_eq!(
                (answer.status, &answer.json["displayName"]),
                (201, &json!("Ada"))
            );
            app.execute("update users set display_name = null").await;
            let answer = app
                .post(
                    "/api/users/me",
                    Some(&user.token),
                    json!({"displayName": "Eve"}),
                )
                .await;
            assert_eq!(answer.json["displayName"], "Eve");
            let no_body = app
                .call(Method::POST, "/api/users/me", Some(&user.token), None)
                .await;
            assert_eq!(no_body.status, 201);
            assert_eq!(
                app.call(Method::POST, "/api/users/me", None, None)
                    .await
                    .status,
                401
            );
        })
        .await;
}
