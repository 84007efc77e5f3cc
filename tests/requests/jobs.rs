//! `/api/jobs`.

use serde_json::json;

use crate::support::{snapshot::stable, test_app};

#[tokio::test]
async fn jobs_are_listed_newest_first_page_by_page() {
    test_app()
        .run(async |app| {
            let (user, other) = (app.user().await, app.user().await);
            app.generate(&other, json!({"prompt": "not yours"})).await;
            let mut ids = Vec::new();
            for _ in 0..5 {
                ids.push(app.generate(&user, json!({"prompt": "a fox"})).await);
            }
            // Equal creation times must not lose rows between pages.
            app.execute("update jobs set created_at = '2026-01-01T00:00:00Z'")
                .await;
            ids.sort();
            ids.reverse();
            let mut seen = Vec::new();
            let mut cursor = String::new();
            loop {
                let page = app
                    .get(&format!("/api/jobs?limit=2{cursor}"), Some(&user.token))
                    .await
                    .json;
                let rows = page["jobs"].as_array().unwrap();
                seen.extend(
                    rows.iter()
                        .map(|job| job["id"].as_str().unwrap().to_owned()),
                );
                assert_eq!(
                    page["hasNextPage"].as_bool().unwrap(),
                    !page["nextCursor"].is_null()
                );
                match page["nextCursor"].as_str() {
                    Some(next) => cursor = format!("&cursor={next}"),
                    None => break,
                }
            }
            assert_eq!(seen, ids);
            let one = app.get("/api/jobs?limit=1", Some(&user.token)).await;
            let known = [(ids[0].as_str(), "newest job")];
            insta::assert_json_snapshot!("jobs_page", stable(&one, &known));
            let clamped = app.get("/api/jobs?limit=100000", Some(&user.token)).await;
            assert_eq!(clamped.json["jobs"].as_array().unwrap().len(), 5);
        })
        .await;
}

#[tokio::test]
async fn somebody_elses_job_looks_like_none() {
    test_app()
        .run(async |app| {
            let (user, other) = (app.user().await, app.user().await);
            let id = app.generate(&other, json!({"prompt": "not yours"})).await;
            let answer = app.get(&format!("/api/jobs/{id}"), Some(&user.token)).await;
            insta::assert_json_snapshot!("foreign_job", stable(&answer, &[]));
            assert_eq!(app.get(&format!("/api/jobs/{id}"), None).await.status, 401);
        })
        .await;
}
