//! Changing the carrier of a live database: what was admitted under one is finished under the other.

use serde_json::json;

use super::{
    assert_all_completed,
    sides::{Side, apalis::Apalis, cloud_tasks::OnCloudTasks},
    small,
};
use crate::support::{bfl::Bfl, test_app};

/// Jobs in every state that outlives a process: waiting, waiting for another try, waiting for upstream.
async fn switch(before: &dyn Side, after: &dyn Side) {
    let bfl = Bfl::start().await;
    bfl.answer_polls([json!({"status": "Pending"})]);
    bfl.fail_submissions([(503, json!({"detail": "overloaded"}))]);
    before
        .held(test_app())
        .flux(&bfl)
        // Far away: the next try is made due once the carrier has changed.
        .set("/jobs/backoff_base_ms", 600_000)
        .set("/jobs/backoff_max_ms", 600_000)
        .run(async |old| {
            let user = old.user().await;
            before.release(old);
            let mut ids = vec![old.generate(&user, json!({"prompt": "a fox"})).await];
            let retried = "select count(*) from jobs where tries = 1";
            old.until("a failed try", || async {
                (old.count(retried).await == 1).then_some(())
            })
            .await;
            ids.push(old.generate(&user, json!({"prompt": "a fox"})).await);
            let upstream =
                "select count(*) from jobs where upstream_id is not null and lease_owner is null";
            old.until("a wait for upstream", || async {
                (old.count(upstream).await >= 1).then_some(())
            })
            .await;
            // It works no more, but goes on admitting.
            old.ctx.queue_provider.as_ref().unwrap().shutdown().unwrap();
            for _ in 0..3 {
                // The demo provider answers this route.
                let answer = old
                    .post("/api/image/qwen", Some(&user.token), small())
                    .await;
                ids.push(answer.json["jobId"].as_str().unwrap().to_owned());
            }
            old.stop();
            bfl.answer_polls([]);
            old.execute("update jobs set next_run_at = now() where tries = 1")
                .await;
            after
                .held(test_app())
                .on(old)
                .flux(&bfl)
                .run(async |new| {
                    after.release(new);
                    assert_all_completed(new, &user, &ids).await;
                    assert_eq!(new.count("select count(*) from r2_files").await, 5);
                    assert_eq!(bfl.submissions().len(), 3, "one failed, two were accepted");
                })
                .await;
        })
        .await;
}

#[tokio::test]
async fn from_apalis_to_cloud_tasks() {
    switch(&Apalis, &OnCloudTasks::start().await).await;
}

#[tokio::test]
async fn from_cloud_tasks_to_apalis() {
    switch(&OnCloudTasks::start().await, &Apalis).await;
}
