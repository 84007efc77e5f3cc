//! Luma takes pictures by address only: what it gets, and where it gets none.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::{
    providers::luma,
    support::{
        pictures, test_app,
        upstream::{Reply, Script, Upstream},
    },
};

/// Seconds that a signed address says it lives.
fn life(address: &str) -> u64 {
    let (_, rest) = address.split_once("X-Amz-Expires=").expect(address);
    rest.split('&').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_given_picture_has_an_address_while_it_is_needed_and_only_there() {
    let upstream = Upstream::start(luma::SPEC.api).await;
    let pending = Script::always(Reply::Fixture("pending".to_owned()));
    upstream.script(1, "poll", pending);
    test_app()
        .worker()
        .upstream(&upstream)
        .run(async |app| {
            let user = app.user().await;
            let body = json!({
                "prompt": "a fox [case 1]", "references": [pictures::data_url(8, 8)],
                "providerOptions": {"modify_image_ref": {"url": pictures::data_url(9, 9), "weight": 0.25}},
            });
            let answer = app.post("/api/image/luma", Some(&user.token), body).await;
            assert_eq!(answer.status, 201, "{}", answer.json);
            let id = answer.json["jobId"].as_str().unwrap().to_owned();
            app.until("the first look", || async {
                (!upstream.calls(1, "poll").is_empty()).then_some(())
            })
            .await;
            let sent = upstream.calls(1, "submit")[0].json();
            assert_eq!(sent["modify_image_ref"]["weight"], 0.25);
            let pictures = [
                (&sent["image_ref"][0]["url"], pictures::png(8, 8)),
                (&sent["modify_image_ref"]["url"], pictures::png(9, 9)),
            ];
            let budget = 300 + 30 * 60;
            for (address, picture) in &pictures {
                let address = address.as_str().unwrap();
                assert!(address.contains("/inputs/"), "{address}");
                assert_eq!(life(address), budget);
                let answer = reqwest::get(address).await.unwrap();
                assert_eq!(answer.headers()["content-type"], "image/png");
                assert_eq!(answer.bytes().await.unwrap(), picture.as_slice());
                let bare = address.split('?').next().unwrap();
                let unsigned = reqwest::get(bare).await.unwrap().status();
                assert_ne!(unsigned, StatusCode::OK, "{bare}");
            }
            upstream.script(1, "poll", Script::default());
            let job = app.final_job(&user, &id).await;
            assert_eq!(job["status"], "COMPLETED", "{job}");
            for (address, _) in &pictures {
                let address = address.as_str().unwrap();
                app.until("the inputs to go", || async {
                    (reqwest::get(address).await.unwrap().status() != StatusCode::OK).then_some(())
                })
                .await;
            }
            let stored = "select count(*) from jobs where concat(input, metadata, upstream, result, warnings) like '%X-Amz%'";
            assert_eq!(app.count(stored).await, 0);
        })
        .await;
}

#[tokio::test]
async fn a_store_that_luma_cannot_reach_takes_no_references() {
    test_app()
        // With the real base address: nothing may be asked there.
        .set("/providers/luma/api_key", "a key")
        .run(async |app| {
            let user = app.user().await;
            let options = [
                json!({"prompt": "a fox", "references": [pictures::data_url(8, 8)]}),
                json!({"prompt": "a fox", "providerOptions": {"style_ref": pictures::data_url(8, 8)}}),
            ];
            for body in options {
                let answer = app.post("/api/image/luma", Some(&user.token), body).await;
                assert_eq!(answer.status, 400, "{}", answer.json);
                let said: &Value = &answer.json["error"];
                assert!(said.as_str().unwrap().contains("cannot be reached from outside"), "{said}");
            }
            assert_eq!(app.count("select count(*) from jobs").await, 0);
            assert_eq!(app.bucket.keys("inputs").len(), 0);
            assert_eq!(app.credits(&user).await, 20);
        })
        .await;
}
