//! The promise of one command: nothing configured, an empty home, in any order.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::processes::{Newcomer, Process, poll};

async fn until<T, F: Future<Output = Option<T>>>(what: &str, probe: impl FnMut() -> F) -> T {
    poll(Duration::from_millis(25), probe)
        .await
        .unwrap_or_else(|| panic!("waited too long for {what}"))
}

/// Signs up, generates a picture and finds it in the gallery, like the README.
async fn main_job(home: &Newcomer) {
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    let client = reqwest::Client::new();
    let base = home.base();
    until("the health check", || async {
        let answer = client.get(format!("{base}/health")).send().await.ok()?;
        answer.status().is_success().then_some(())
    })
    .await;
    let post = async |path: &str, token: &str, body: Value| -> Value {
        let request = client
            .post(format!("{base}{path}"))
            .bearer_auth(token)
            .json(&body);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 201, "{path}");
        answer.json().await.unwrap()
    };
    let get = async |path: &str, token: &str| -> Value {
        let request = client.get(format!("{base}{path}")).bearer_auth(token);
        request.send().await.unwrap().json().await.unwrap()
    };
    let account = json!({"email": "ada@example.com", "password": "correct horse"});
    post("/api/auth/signup", "-", account.clone()).await;
    let session = post("/api/auth/login", "-", account).await;
    let token = session["accessToken"].as_str().unwrap();
    let body = json!({"prompt": "a fox", "providerOptions": {"width": 192, "height": 128}});
    let job = post("/api/image/flux", token, body).await;
    let path = format!("/api/jobs/{}", job["jobId"].as_str().unwrap());
    let job = until("the picture", || async {
        let job = get(&path, token).await;
        (job["status"] == "COMPLETED").then_some(job)
    })
    .await;
    let url = job["resultUrl"].as_str().unwrap();
    let bytes = client.get(url).send().await.unwrap().bytes().await.unwrap();
    let picture = image::load_from_memory(&bytes).unwrap();
    assert_eq!((picture.width(), picture.height()), (192, 128));
    assert_eq!(get("/api/r2files", token).await["items"][0]["fileUrl"], url);
    assert_eq!(get("/api/auth/me", token).await["credits"], 19);
}

#[tokio::test]
async fn one_process_on_an_empty_home_does_the_main_job() {
    let home = Newcomer::new();
    let _both = home.start(&["start", "--server-and-worker"]);
    main_job(&home).await;
}

#[tokio::test]
async fn api_and_worker_started_at_the_same_moment_do_the_main_job() {
    let home = Newcomer::new();
    let _both: [Process; 2] = [home.start(&["start", "--worker"]), home.start(&["start"])];
    main_job(&home).await;
}

#[tokio::test]
async fn a_taken_port_is_told_in_one_line() {
    let home = Newcomer::new();
    let first = home.start(&["start"]);
    until("the first process", || async {
        reqwest::get(format!("{}/health", home.base()))
            .await
            .ok()
            .map(drop)
    })
    .await;
    let output = tokio::task::spawn_blocking({
        let mut second = home.capture(&["start", "--no-banner"]);
        move || second.output().unwrap()
    })
    .await
    .unwrap();
    drop(first);
    assert!(!output.status.success());
    let text = String::from_utf8(output.stderr).unwrap();
    let line = text
        .lines()
        .find(|line| line.starts_with("error:"))
        .unwrap();
    assert!(
        line.contains("already in use") && line.contains("PORT="),
        "{line}"
    );
}
