//! Operator commands, as a person runs them.

mod deliveries;
mod jobs;

use serde_json::json;

use crate::support::{TestApp, processes::Installation, test_app};

async fn run(app: &TestApp, arguments: &[&str]) -> (bool, String) {
    let installation = Installation {
        database_uri: &app.database.uri,
        bucket: &app.bucket,
        bfl: None,
    };
    let output = installation.run(arguments).await;
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

#[tokio::test]
async fn credits_are_adjusted_once_per_request() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            let who = format!("user:{}", user.email);
            let arguments = ["task", "credits_adjust", &who, "amount:5", "request:r1"];
            let (is_fine, text) = run(app, &arguments).await;
            assert!(is_fine && text.contains("the balance is 25"), "{text}");
            let (is_fine, text) = run(app, &arguments).await;
            assert!(is_fine && text.contains("applied before"), "{text}");
            assert_eq!(app.credits(&user).await, 25);
            let (is_fine, text) = run(app, &["task", "credits_adjust", &who, "amount:-26"]).await;
            assert!(!is_fine && text.contains("insufficient"), "{text}");
            let (is_fine, text) =
                run(app, &["task", "credits_adjust", "user:nobody", "amount:1"]).await;
            assert!(!is_fine && text.contains("no such user"), "{text}");
            assert_eq!(app.credits(&user).await, 25);
        })
        .await;
}

#[tokio::test]
async fn the_ledger_check_says_clean_and_finds_a_broken_book() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            app.generate(&user, json!({"prompt": "a fox"})).await;
            let (is_fine, text) = run(app, &["task", "ledger_check"]).await;
            assert!(is_fine && text.contains("The ledger is clean."), "{text}");
            app.execute(
                "update credit_accounts set balance = balance + 1 where kind = 'available'",
            )
            .await;
            let (is_fine, text) = run(app, &["task", "ledger_check"]).await;
            assert!(!is_fine && text.contains("I2"), "{text}");
            app.execute(
                "update credit_accounts set balance = balance - 1 where kind = 'available'",
            )
            .await;
        })
        .await;
}

#[tokio::test]
async fn the_admin_role_comes_and_goes_by_task_only() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            let who = format!("user:{}", user.id);
            let role =
                async || app.get("/api/users/me", Some(&user.token)).await.json["role"].clone();
            assert_eq!(role().await, "USER");
            assert!(run(app, &["task", "admin_grant", &who]).await.0);
            assert_eq!(role().await, "ADMIN");
            assert!(
                run(app, &["task", "admin_grant", &who, "revoke:yes"])
                    .await
                    .0
            );
            assert_eq!(role().await, "USER");
        })
        .await;
}

#[tokio::test]
async fn production_names_everything_that_is_missing_at_once() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_daygen-cli"))
        .args(["start"])
        .env_clear()
        .env("LOCO_ENV", "production")
        .env("JWT_SECRET", "change-me-in-production")
        .env("INTERNAL_API_KEY", "internal-key")
        .env(
            "LOCO_CONFIG_FOLDER",
            concat!(env!("CARGO_MANIFEST_DIR"), "/config"),
        )
        .output()
        .unwrap();
    assert!(!output.status.success());
    insta::assert_snapshot!(
        "production_without_settings",
        String::from_utf8(output.stderr).unwrap()
    );
}

#[tokio::test]
async fn production_with_cloud_tasks_names_what_it_lacks_too() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_daygen-cli"))
        .args(["start"])
        .env_clear()
        .env("LOCO_ENV", "production")
        .env("ENABLE_CLOUD_TASKS", "true")
        .env("GOOGLE_CLOUD_PROJECT", "a project")
        .env("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/account.json")
        .env("CLOUD_TASKS_API_BASE", "http://tasks.example.com")
        .env("GOOGLE_METADATA_BASE", "http://metadata.example.com")
        .env(
            "LOCO_CONFIG_FOLDER",
            concat!(env!("CARGO_MANIFEST_DIR"), "/config"),
        )
        .output()
        .unwrap();
    assert!(!output.status.success());
    insta::assert_snapshot!(
        "production_with_cloud_tasks",
        String::from_utf8(output.stderr).unwrap()
    );
}

#[tokio::test]
async fn production_with_a_project_of_supabase_names_what_is_wrong_with_it() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_daygen-cli"))
        .args(["start"])
        .env_clear()
        .env("LOCO_ENV", "production")
        .env("SUPABASE_URL", "http://project.supabase.example")
        .env("JWKS_URL", "not an address")
        .env("GOOGLE_OAUTH_BASE", "ftp://accounts.example.com")
        .env("ENABLE_DEV_LOGIN", "true")
        .env(
            "LOCO_CONFIG_FOLDER",
            concat!(env!("CARGO_MANIFEST_DIR"), "/config"),
        )
        .output()
        .unwrap();
    assert!(!output.status.success());
    insta::assert_snapshot!(
        "production_with_supabase",
        String::from_utf8(output.stderr).unwrap()
    );
}
