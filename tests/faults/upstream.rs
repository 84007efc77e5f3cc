//! `kill -9` between submission and result of a provider that is polled: another worker goes on with
//! the task that is there.

use serde_json::json;

use crate::{
    providers::luma,
    support::{
        pictures,
        processes::Installation,
        test_app,
        upstream::{self, Reply, Script, Upstream},
    },
};

#[tokio::test]
async fn a_task_outlives_the_worker_that_submitted_it() {
    let upstream = Upstream::start(luma::SPEC.api).await;
    let pending = Script::always(Reply::Fixture("pending_dreaming".to_owned()));
    upstream.script(1, "poll", pending);
    test_app()
        .upstream(&upstream)
        .run(async |app| {
            let user = app.user().await;
            let installation = Installation {
                database_uri: &app.database.uri,
                bucket: &app.bucket,
                bfl: None,
            };
            let variables = [
                ("LUMAAI_API_KEY", upstream::KEY),
                ("LUMAAI_API_BASE", upstream.base.as_str()),
            ];
            let mut victim = installation.worker_with(&variables);
            let body =
                json!({"prompt": "a fox [case 1]", "references": [pictures::data_url(8, 8)]});
            let answer = app.post("/api/image/luma", Some(&user.token), body).await;
            let id = answer.json["jobId"].as_str().unwrap().to_owned();
            app.until("the first look", || async {
                (!upstream.calls(1, "poll").is_empty()).then_some(())
            })
            .await;
            victim.kill();
            let task = upstream.calls(1, "poll")[0].path.clone();
            upstream.script(1, "poll", Script::default());
            let _heir = installation.worker_with(&variables);
            let job = app.final_job(&user, &id).await;
            assert_eq!(job["status"], "COMPLETED", "{job}");
            assert_eq!(upstream.calls(1, "submit").len(), 1);
            let looked = upstream.calls(1, "poll");
            assert!(looked.iter().all(|call| call.path == task), "{looked:?}");
            assert_eq!(app.bucket.keys("generated-images").len(), 1);
            let captures = "select count(*) from credit_transactions where kind = 'capture'";
            assert_eq!(app.count(captures).await, 1);
            assert_eq!(app.credits(&user).await, 19);
            assert_eq!(upstream.faults(), Vec::<String>::new());
        })
        .await;
}
