//! The web client's identity library from npm, in its version and in a current one.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use super::skip;
use crate::support::test_app;

/// The folder with both versions, installed on first use; `None` when they cannot be had.
fn installed() -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contracts/clients/supabase");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-clients/supabase-js");
    std::fs::create_dir_all(&folder).unwrap();
    let lock = "package-lock.json";
    let is_new = std::fs::read(folder.join(lock)).ok() != std::fs::read(source.join(lock)).ok();
    for file in ["package.json", "client.mjs"] {
        std::fs::copy(source.join(file), folder.join(file)).unwrap();
    }
    if !is_new && folder.join("node_modules").exists() {
        return Some(folder);
    }
    std::fs::copy(source.join(lock), folder.join(lock)).unwrap();
    let is_installed = Command::new("npm")
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .current_dir(&folder)
        .output()
        .is_ok_and(|output| output.status.success());
    if !is_installed {
        std::fs::remove_file(folder.join(lock)).ok();
    }
    is_installed.then_some(folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn supabases_own_client_signs_in_by_every_way_against_our_accounts() {
    let Some(folder) = tokio::task::spawn_blocking(installed).await.unwrap() else {
        return skip("@supabase/supabase-js");
    };
    for version in ["supabase-2.75", "supabase-current"] {
        test_app()
            .worker()
            .set("/auth/anon_key", "the-anon-key")
            .run(async |app| {
                let mut command = Command::new("node");
                command
                    .arg("client.mjs")
                    .args([version, &app.base, "the-anon-key"])
                    .current_dir(&folder);
                let output = tokio::task::spawn_blocking(move || command.output().unwrap())
                    .await
                    .unwrap();
                let errors = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{version}: {errors}");
                let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
                // Both versions meet the same.
                insta::assert_json_snapshot!("supabase_js", seen);
            })
            .await;
    }
}
