//! Peak memory of real processes under large bodies and a large result. Run by hand, it takes a while:
//! `cargo test --test mod faults::memory -- --ignored --nocapture`

use std::time::{Duration, Instant};

use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{
    TestApp, TestUser,
    bfl::Bfl,
    pictures,
    processes::Installation,
    studio::{self, Studio, Take},
    test_app,
};

const MIB: usize = 1024 * 1024;
/// Requests at the same time, and the size of each body, bytes.
const REQUESTS: usize = 100;
const BODY_BYTES: usize = 10 * MIB;
const VIDEO_BYTES: usize = 300 * MIB;
/// What a process may have needed at its worst, MiB: the budgets of the configuration, and itself.
const API_MIB: u64 = 640;
const WORKER_MIB: u64 = 640;

/// A picture that makes a body of the wanted size: its end is not looked at.
fn heavy_picture() -> String {
    let mut bytes = pictures::png(512, 512);
    bytes.resize(BODY_BYTES / 4 * 3, 7);
    format!("data:image/png;base64,{}", STANDARD.encode(bytes))
}

async fn ask(client: &reqwest::Client, base: &str, user: &TestUser, body: bytes::Bytes) -> u16 {
    let request = client
        .post(format!("{base}/api/image/flux"))
        .bearer_auth(&user.token)
        .header("content-type", "application/json")
        .body(body);
    request.send().await.unwrap().status().as_u16()
}

async fn all_jobs_end(app: &TestApp) {
    app.within(Duration::from_secs(600), "the jobs", || async {
        let open = "select count(*) from jobs where status in ('PENDING', 'PROCESSING')";
        (app.count(open).await == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement, a minute long"]
async fn peak_memory_is_bounded() {
    let bfl = Bfl::start().await;
    let studio = Studio::start(&[Take::Whole {
        bytes: VIDEO_BYTES,
        is_announced: true,
    }])
    .await;
    test_app()
        .flux(&bfl)
        .run(async |app| {
            let user = app.user().await;
            app.leave_credits(&user, 10_000).await;
            let installation = Installation {
                database_uri: &app.database.uri,
                bucket: &app.bucket,
                bfl: Some(&bfl),
            };
            let api = installation.api().await;
            let at_rest = api.process.peak_mib();
            let body = json!({"prompt": "a fox", "references": [heavy_picture()]});
            let body = bytes::Bytes::from(body.to_string());
            let client = reqwest::Client::new();
            let begun = Instant::now();
            let asked = (0..REQUESTS).map(|_| ask(&client, &api.base, &user, body.clone()));
            let statuses = join_all(asked).await;
            let accepted = statuses.iter().filter(|status| **status == 201).count();
            let busy = statuses.iter().filter(|status| **status == 503).count();
            println!(
                "API: {} MiB at rest, {} MiB at its peak; {accepted} of {REQUESTS} accepted, {busy} told to come again, {:?}",
                at_rest,
                api.process.peak_mib(),
                begun.elapsed(),
            );
            assert_eq!(accepted + busy, REQUESTS, "{statuses:?}");
            assert!(api.process.peak_mib() < API_MIB);

            let worker = installation.worker_with(&[
                ("KLINGAI_API_KEY", studio::KEY),
                ("KLING_API_BASE", studio.base.as_str()),
            ]);
            all_jobs_end(app).await;
            println!("worker: {} MiB after the pictures", worker.peak_mib());

            let fresh = installation.worker_with(&[
                ("KLINGAI_API_KEY", studio::KEY),
                ("KLING_API_BASE", studio.base.as_str()),
            ]);
            drop(worker);
            let answer = app
                .post("/api/video/kling", Some(&user.token), json!({"prompt": "a fox"}))
                .await;
            assert_eq!(answer.status, 201, "{}", answer.json);
            all_jobs_end(app).await;
            let id = answer.json["jobId"].as_str().unwrap();
            let job: Value = app.job(&user, id).await;
            assert_eq!(job["status"], "COMPLETED", "{job}");
            let size = "select max(file_size)::bigint from r2_files";
            assert_eq!(app.count(size).await, i64::try_from(VIDEO_BYTES).unwrap());
            println!("worker: {} MiB for the video alone", fresh.peak_mib());
            assert!(fresh.peak_mib() < WORKER_MIB);
        })
        .await;
}
