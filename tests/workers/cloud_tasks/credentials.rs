//! Access tokens: signed for, given by the machine, kept, and asked for again.

use daygen::{
    queue::cloud_tasks::{Credentials, CredentialsError},
    settings::Settings,
};
use serde_json::{Value, json};

use super::{admit, completed};
use crate::support::{cloud_tasks::CloudTasks, google::Google, test_app};

#[tokio::test]
async fn a_service_account_signs_for_tokens_and_keeps_them() {
    let google = Google::start().await;
    let tasks = CloudTasks::start().await;
    let file = google.account_file();
    tasks.require_token("ya29.test-1");
    test_app()
        .cloud_tasks(&tasks)
        .set("/queue/cloud_tasks/credentials", file.0.to_str().unwrap())
        .run(async |app| {
            let user = app.user().await;
            completed(app, &user, &admit(app, &user, 2).await).await;
            assert_eq!(google.tokens().len(), 1, "one token for all calls");
            // Google revokes it: the next call asks for another.
            tasks.require_token("ya29.test-2");
            completed(app, &user, &admit(app, &user, 1).await).await;
            assert_eq!(google.tokens().len(), 2);
            let last = tasks.calls().pop().unwrap();
            assert_eq!(last.authorization.as_deref(), Some("Bearer ya29.test-2"));
        })
        .await;
}

fn cloud_settings(app: &Settings) -> daygen::settings::CloudTasks {
    app.queue.cloud_tasks.clone()
}

#[tokio::test]
async fn the_machine_gives_tokens_where_there_is_no_file() {
    let google = Google::start().await;
    test_app()
        .set("/queue/cloud_tasks/metadata_base", google.base.as_str())
        .run(async |app| {
            let settings = cloud_settings(&app.settings());
            let credentials = Credentials::new(&settings, reqwest::Client::new()).unwrap();
            google.set_life(3_600);
            let first = credentials.token().await.unwrap().unwrap();
            assert_eq!(first.expose(), "ya29.test-1");
            assert_eq!(credentials.token().await.unwrap().unwrap(), first, "kept");
            credentials.forget(&first).await;
            google.set_life(1);
            let second = credentials.token().await.unwrap().unwrap();
            assert_eq!(second.expose(), "ya29.test-2");
            app.until("it to be too old", || async {
                let token = credentials.token().await.unwrap().unwrap();
                (token.expose() == "ya29.test-3").then_some(())
            })
            .await;
        })
        .await;
}

#[tokio::test]
async fn a_file_that_is_no_account_is_refused_without_quoting_it() {
    let google = Google::start().await;
    test_app()
        .run(async |app| {
            let file = google.account_file();
            let good: Value = serde_json::from_slice(&std::fs::read(&file.0).unwrap()).unwrap();
            for (field, value) in [
                ("type", "authorized_user"),
                (
                    "private_key",
                    "-----BEGIN PRIVATE KEY-----\nsecretsecret\n-----END PRIVATE KEY-----",
                ),
                ("token_uri", "http://tokens.example.com/token"),
                ("", ""),
            ] {
                let mut bad = good.clone();
                bad[field] = json!(value);
                let text = if field.is_empty() {
                    "secretsecret".to_owned()
                } else {
                    bad.to_string()
                };
                std::fs::write(&file.0, text).unwrap();
                let mut settings = cloud_settings(&app.settings());
                settings.credentials = Some(file.0.clone());
                let error = Credentials::new(&settings, reqwest::Client::new())
                    .err()
                    .unwrap();
                assert!(matches!(error, CredentialsError::File(_)), "{field}");
                assert!(!error.to_string().contains("secretsecret"), "{error}");
            }
        })
        .await;
}
