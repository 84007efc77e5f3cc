//! Inline generation on the gemini route: the request waits for its picture.

use serde_json::{Value, json};

use crate::support::{
    snapshot::stable,
    test_app,
    upstream::{Reply, Script, Upstream},
};

const PATH: &str = "/api/image/gemini";

fn body(prompt: &str) -> Value {
    json!({"prompt": prompt, "providerOptions": {"useInline": true}})
}

#[tokio::test]
async fn the_answer_is_the_picture_or_the_reason_why_there_is_none() {
    let upstream = Upstream::start(crate::providers::gemini::SPEC.api).await;
    test_app()
        .worker()
        .upstream(&upstream)
        .run(async |app| {
            let user = app.user().await;
            let answer = app.post(PATH, Some(&user.token), body("a fox")).await;
            let id = answer.json["r2FileId"].as_str().unwrap().to_owned();
            let job = app.get("/api/jobs?limit=1", Some(&user.token)).await.json["jobs"][0]["id"]
                .as_str()
                .unwrap()
                .to_owned();
            let known = [
                (app.base.as_str(), "base"),
                (id.as_str(), "file id"),
                (job.as_str(), "job id"),
                (user.id.as_str(), "user id"),
            ];
            insta::assert_json_snapshot!("inline_done", stable(&answer, &known));
            assert_eq!(app.credits(&user).await, 19);

            // Each fault in its own words, and nothing paid. Never 429 or 503: clients repeat those.
            for (number, (fixture, status)) in (1..).zip([
                ("moderated_prompt", 422),
                ("refused", 400),
                ("account_key", 502),
                ("empty", 502),
            ]) {
                upstream.script(
                    number,
                    "submit",
                    Script::always(Reply::Fixture(fixture.to_owned())),
                );
                let prompt = format!("a fox [case {number}]");
                let answer = app.post(PATH, Some(&user.token), body(&prompt)).await;
                assert_eq!(answer.status, status, "{fixture}: {}", answer.json);
                insta::assert_json_snapshot!(format!("inline_{fixture}"), stable(&answer, &[]));
            }
            assert_eq!(app.credits(&user).await, 19);

            // Refused at the door, as on the queued way.
            let mut unknown = body("a fox");
            unknown["model"] = "gemini-1".into();
            let answer = app.post(PATH, Some(&user.token), unknown).await;
            insta::assert_json_snapshot!("inline_unknown_model", stable(&answer, &[]));
            app.leave_credits(&user, 0).await;
            let answer = app.post(PATH, Some(&user.token), body("a fox")).await;
            assert_eq!(answer.status, 402);
            assert_eq!(app.count("select count(*) from jobs").await, 5);
        })
        .await;
}

#[tokio::test]
async fn the_first_boolean_among_the_options_decides() {
    test_app()
        .worker()
        .run(async |app| {
            let user = app.user().await;
            for (options, is_inline) in [
                (json!({}), false),
                (json!({"useInline": true}), true),
                (json!({"inline": true}), true),
                (json!({"useQueue": true, "useInline": true}), false),
                (json!({"forceQueue": false}), true),
                (json!({"useQueue": "false", "queue": false}), true),
                (json!({"useInline": "true"}), false),
                (json!({"useInline": false, "inline": true}), false),
            ] {
                let body = json!({"prompt": "a fox", "providerOptions": options});
                let answer = app.post(PATH, Some(&user.token), body).await;
                assert_eq!(answer.status, 201, "{}", answer.json);
                assert_eq!(answer.json.get("dataUrl").is_some(), is_inline, "{options}");
                assert_eq!(answer.json.get("jobId").is_none(), is_inline, "{options}");
            }
            // Elsewhere the option means nothing.
            let other = "/api/image/ideogram";
            let answer = app.post(other, Some(&user.token), body("a fox")).await;
            assert!(answer.json.get("jobId").is_some(), "{}", answer.json);
        })
        .await;
}

#[tokio::test]
async fn a_client_that_goes_away_loses_neither_picture_nor_credits() {
    let upstream = Upstream::start(crate::providers::gemini::SPEC.api).await;
    // The first call hangs, so that the request is surely under way; the second is answered.
    upstream.script(0, "submit", Script::once([Reply::Silence]));
    test_app()
        .worker()
        .upstream(&upstream)
        .set("/providers/gemini/call_timeout_ms", 4000)
        .run(async |app| {
            let user = app.user().await;
            let request = app
                .request(reqwest::Method::POST, PATH)
                .bearer_auth(&user.token)
                .json(&body("a fox"));
            let sent = tokio::spawn(request.send());
            app.until("the call", async || {
                (!upstream.calls(0, "submit").is_empty()).then_some(())
            })
            .await;
            sent.abort();
            let page = app.get("/api/jobs", Some(&user.token)).await.json;
            let id = page["jobs"][0]["id"].as_str().unwrap().to_owned();
            let job = app.final_job(&user, &id).await;
            assert_eq!(job["status"], "COMPLETED", "{job}");
            assert!(job["metadata"]["r2FileId"].is_string());
            assert_eq!(app.credits(&user).await, 19);
            assert_eq!(app.count("select count(*) from r2_files").await, 1);
        })
        .await;
}

#[tokio::test]
async fn a_key_repeats_the_picture_and_a_slow_one_is_answered_like_a_queued_one() {
    let upstream = Upstream::start(crate::providers::gemini::SPEC.api).await;
    upstream.script(7, "submit", Script::always(Reply::Silence));
    test_app()
        .worker()
        .upstream(&upstream)
        .set("/generation/inline_wait_ms", 8000)
        .run(async |app| {
            let user = app.user().await;
            let mut files = Vec::new();
            for _ in 0..2 {
                let request = app
                    .request(reqwest::Method::POST, PATH)
                    .bearer_auth(&user.token)
                    .header("idempotency-key", "once")
                    .json(&body("a fox"));
                let answer = app.send(request).await;
                assert_eq!(answer.status, 201, "{}", answer.json);
                files.push(answer.json["r2FileId"].clone());
            }
            assert!(files[0].is_string());
            assert_eq!(files[0], files[1]);
            assert_eq!(upstream.calls(0, "submit").len(), 1);

            let answer = app
                .post(PATH, Some(&user.token), body("a fox [case 7]"))
                .await;
            assert_eq!(answer.status, 201);
            let id = answer.json["jobId"].as_str().unwrap().to_owned();
            let answer = app
                .post(
                    &format!("/api/jobs/{id}/cancel"),
                    Some(&user.token),
                    json!({}),
                )
                .await;
            assert!(answer.status < 300, "{}", answer.json);
            assert_eq!(app.final_job(&user, &id).await["status"], "CANCELLED");
            assert_eq!(app.credits(&user).await, 19);
        })
        .await;
}
