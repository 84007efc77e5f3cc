//! Clients that others made, against our stand-ins: a stand-in is true when they cannot tell.

mod supabase;

use std::{path::PathBuf, process::Command};

use serde_json::{Value, json};

use crate::support::{INTERNAL_KEY, cloud_tasks::CloudTasks, test_app};

/// The Python of an environment with Google's client, made on first use; `None` when it cannot be had.
fn python() -> Option<PathBuf> {
    let venv =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/test-clients/google-cloud-tasks");
    let python = venv.join("bin/python3");
    let is_fine =
        |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
    let has_client = || is_fine(Command::new(&python).args(["-c", "import google.cloud.tasks_v2"]));
    if has_client() {
        return Some(python);
    }
    let is_made = is_fine(Command::new("python3").args(["-m", "venv"]).arg(&venv))
        && is_fine(Command::new(&python).args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "google-cloud-tasks",
        ]))
        && has_client();
    is_made.then_some(python)
}

/// Continuous integration asks for every client; elsewhere a missing one is said and skipped.
fn skip(what: &str) {
    let is_required = std::env::var("DAYGEN_TEST_CLIENTS").is_ok_and(|value| value == "required");
    assert!(!is_required, "{what} cannot be installed here");
    println!("skipped: {what} cannot be installed here");
}

#[tokio::test(flavor = "multi_thread")]
async fn googles_own_client_works_against_the_stand_in_of_cloud_tasks() {
    let Some(python) = tokio::task::spawn_blocking(python).await.unwrap() else {
        return skip("google-cloud-tasks");
    };
    let tasks = CloudTasks::start().await;
    test_app()
        .set("/queue/internal_api_key", INTERNAL_KEY)
        .set("/jobs/duty_interval_ms", 3_600_000)
        .run(async |app| {
            let user = app.user().await;
            let body = json!({"prompt": "a fox", "providerOptions": {"width": 64, "height": 64}});
            let job = app.generate(&user, body).await;
            let mut command = Command::new(python);
            command
                .arg(concat!(
                    env!("CARGO_MANIFEST_DIR"),
                    "/tests/contracts/clients/google_tasks.py"
                ))
                .args([&tasks.base, &CloudTasks::parent()])
                .args([
                    &format!("{}/api/jobs/process", app.base),
                    INTERNAL_KEY,
                    &job,
                ]);
            let output = tokio::task::spawn_blocking(move || command.output().unwrap())
                .await
                .unwrap();
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{errors}");
            let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
            insta::assert_json_snapshot!("google_client", seen);
            // The task that the client made brought the job to us.
            assert_eq!(app.final_job(&user, &job).await["status"], "COMPLETED");
        })
        .await;
}
