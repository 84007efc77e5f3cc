//! `/api/r2files` and the public addresses of files.

use reqwest::Method;
use serde_json::json;

use crate::support::{TestApp, TestUser, snapshot::stable, test_app};

async fn pictures(app: &TestApp, user: &TestUser, n: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for _ in 0..n {
        let body = json!({"prompt": "a fox", "avatarId": "avatar-1", "providerOptions": {"width": 64, "height": 64}});
        let id = app.generate(user, body).await;
        let job = app.final_job(user, &id).await;
        assert_eq!(job["status"], "COMPLETED", "{job}");
        ids.push(job["metadata"]["r2FileId"].as_str().unwrap().to_owned());
    }
    ids
}

#[tokio::test]
async fn the_gallery_shows_the_jobs_address_and_walks_over_equal_times() {
    test_app()
        .worker()
        .run(async |app| {
            let (user, other) = (app.user().await, app.user().await);
            let mut ids = pictures(app, &user, 3).await;
            pictures(app, &other, 1).await;
            let page = app.get("/api/r2files", Some(&user.token)).await;
            let first = &page.json["items"][0];
            let job = app.job(&user, first["jobId"].as_str().unwrap()).await;
            assert_eq!(first["fileUrl"], job["resultUrl"]);
            assert_eq!(page.json["totalCount"], 3);

            app.execute("update r2_files set created_at = '2026-01-01T00:00:00Z'")
                .await;
            ids.sort();
            ids.reverse();
            let mut seen = Vec::new();
            let mut cursor = String::new();
            loop {
                let page = app
                    .get(&format!("/api/r2files?limit=1{cursor}"), Some(&user.token))
                    .await
                    .json;
                seen.extend(
                    page["items"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .map(|item| item["id"].as_str().unwrap().to_owned()),
                );
                match page["nextCursor"].as_str() {
                    Some(next) => cursor = format!("&cursor={next}"),
                    None => break,
                }
            }
            assert_eq!(seen, ids);
            let plain = app
                .get(
                    "/api/r2files?cursor=2025-12-31T00:00:00.000Z",
                    Some(&user.token),
                )
                .await;
            assert_eq!(plain.json["items"], json!([]));
        })
        .await;
}

#[tokio::test]
async fn one_file_as_the_client_reads_it() {
    test_app()
        .worker()
        .run(async |app| {
            let user = app.user().await;
            let ids = pictures(app, &user, 1).await;
            let page = app.get("/api/r2files", Some(&user.token)).await;
            let item = &page.json["items"][0];
            let size = item["fileSize"].as_u64().unwrap();
            let job_id = item["jobId"].as_str().unwrap().to_owned();
            let url = item["fileUrl"].as_str().unwrap().to_owned();
            let download = app.get(url.strip_prefix(&app.base).unwrap(), None).await;
            assert_eq!(u64::try_from(download.bytes.len()).unwrap(), size);
            let known = [
                (app.base.as_str(), "base"),
                (user.id.as_str(), "user"),
                (job_id.as_str(), "job"),
                (ids[0].as_str(), "file"),
            ];
            let mut stable_page = stable(&page, &known);
            stable_page["body"]["items"][0]["fileSize"] = json!("[size of the download]");
            insta::assert_json_snapshot!("gallery", stable_page);
        })
        .await;
}

#[tokio::test]
async fn public_files_work_in_a_browser_and_inputs_stay_private() {
    test_app()
        .worker()
        .run(async |app| {
            let user = app.user().await;
            pictures(app, &user, 1).await;
            let page = app.get("/api/r2files", Some(&user.token)).await.json;
            let path = page["items"][0]["fileUrl"].as_str().unwrap().strip_prefix(&app.base).unwrap().to_owned();
            let request = app.request(Method::GET, &path).header("origin", "https://any.example");
            let answer = app.send(request).await;
            assert_eq!(answer.header("access-control-allow-origin"), Some("https://any.example"));
            assert_eq!(answer.header("content-type"), Some("image/png"));
            assert_eq!(answer.header("cache-control"), Some("public, max-age=31536000"));
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
            assert_eq!(image::load_from_memory(&answer.bytes).unwrap().width(), 64);
            let part = app.request(Method::GET, &path).header("range", "bytes=0-7");
            let part = app.send(part).await;
            assert_eq!((part.status, part.bytes.as_slice()), (206, &answer.bytes[..8]));
            let beyond = app
                .request(Method::GET, &path)
                .header("range", "bytes=99999999-");
            assert_eq!(app.send(beyond).await.status, 416);
            let nonsense = app
                .request(Method::GET, &path)
                .header("range", "lines=1-2");
            assert_eq!(app.send(nonsense).await.status, 200);
            let head = app.send(app.request(Method::HEAD, &path)).await;
            assert_eq!((head.status, head.bytes.len()), (200, 0));

            let body = json!({"prompt": "a fox", "references": [crate::support::pictures::data_url(8, 8)]});
            app.execute("update jobs set next_run_at = next_run_at").await;
            let key = format!("inputs/{}/x-1.png", user.id);
            assert_eq!(app.get(&format!("/files/{key}"), None).await.status, 404);
            let id = app.generate(&user, body).await;
            app.final_job(&user, &id).await;
        })
        .await;
}

#[tokio::test]
async fn a_deleted_file_leaves_the_gallery_once_and_its_object_later() {
    test_app()
        .worker()
        .run(async |app| {
            let (user, other) = (app.user().await, app.user().await);
            let id = pictures(app, &user, 1).await.remove(0);
            let path = format!("/api/r2files/{id}");
            assert_eq!(
                app.call(Method::DELETE, &path, Some(&other.token), None)
                    .await
                    .status,
                404
            );
            let request = app
                .request(Method::DELETE, &path)
                .bearer_auth(&user.token)
                .header("content-type", "application/json");
            let answer = app.send(request).await;
            assert_eq!(
                (answer.status, &answer.json),
                (200, &json!({"success": true}))
            );
            let again = app
                .call(Method::DELETE, &path, Some(&user.token), None)
                .await;
            insta::assert_json_snapshot!("deleted_twice", stable(&again, &[]));
            let page = app.get("/api/r2files", Some(&user.token)).await.json;
            assert_eq!(
                (&page["items"], &page["totalCount"]),
                (&json!([]), &json!(0))
            );
            assert_eq!(
                app.bucket.keys("generated-images").len(),
                1,
                "the object is kept for some days"
            );
            app.execute("update object_deletions set not_before = now()")
                .await;
            app.until("the object to go", || async {
                app.bucket.keys("generated-images").is_empty().then_some(())
            })
            .await;
        })
        .await;
}
