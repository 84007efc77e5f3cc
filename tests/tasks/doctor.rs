//! What `cargo loco doctor` says of the parts outside the process.

use daygen::{generation::registry::provider_names, initializers::outside_parts::parts};
use loco_rs::app::Initializer;

use crate::support::{
    TestApp,
    bfl::Bfl,
    cloud_tasks::{CloudTasks, Outage},
    test_app,
};

/// A line for each part, with ports left out, and whether all are well.
async fn lines(app: &TestApp) -> (Vec<String>, bool) {
    let mut lines = Vec::new();
    let mut is_well = true;
    for part in parts() {
        let check = part.check(&app.ctx).await.unwrap().unwrap();
        is_well &= check.valid();
        let text = format!("{}: {}", part.name(), check.message);
        let words: Vec<String> = text.split(' ').map(without_port).collect();
        lines.push(words.join(" "));
    }
    (lines, is_well)
}

fn without_port(word: &str) -> String {
    match word.split_once("127.0.0.1:") {
        Some((before, rest)) => {
            let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
            format!("{before}127.0.0.1:[port]{rest}")
        }
        None => word.to_owned(),
    }
}

#[tokio::test]
async fn the_doctor_tells_what_is_configured_what_stands_in_and_what_is_away() {
    test_app()
        .run(async |app| {
            let (lines, is_well) = lines(app).await;
            assert!(is_well, "{lines:?}");
            let (parts, providers) = lines.split_at(4);
            assert_eq!(
                parts,
                [
                    "database: configured (PostgreSQL at 127.0.0.1:[port])",
                    "queue: configured (apalis on Postgres)",
                    "cloud tasks: not in use (the queue in PostgreSQL carries generation jobs)",
                    "storage: configured (bucket test-bucket at 127.0.0.1:[port])",
                ]
            );
            let demo = |name| format!("provider {name}: stand-in (results of the demo provider)");
            let expected: Vec<String> = provider_names().into_iter().map(demo).collect();
            assert_eq!(providers, expected);
        })
        .await;
    let tasks = CloudTasks::start().await;
    test_app()
        .cloud_tasks(&tasks)
        .flux(&Bfl::start().await)
        // Nobody listens there.
        .set("/storage/endpoint", "http://127.0.0.1:9")
        .run(async |app| {
            let (up, is_well) = lines(app).await;
            assert!(!is_well);
            assert_eq!(up[2], "cloud tasks: stand-in (127.0.0.1:[port])");
            assert!(
                up[3].starts_with("storage: unreachable (bucket test-bucket at 127.0.0.1:[port]")
            );
            let flux = "provider flux: configured (127.0.0.1:[port])".to_owned();
            assert!(up.contains(&flux), "{up:?}");
            tasks.set_outage(Some(Outage::Refused));
            let down = app
                .until("nobody to listen", || async {
                    let (down, _) = lines(app).await;
                    down[2].contains("unreachable").then_some(down)
                })
                .await;
            assert!(
                down[2].starts_with("cloud tasks: unreachable (127.0.0.1:[port]"),
                "{}",
                down[2]
            );
        })
        .await;
}
