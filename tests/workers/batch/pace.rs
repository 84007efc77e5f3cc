//! How much of a batch runs at once, how long, and who gets the slot meanwhile.

use serde_json::json;

use super::*;
use crate::support::bfl::Point;

#[tokio::test]
async fn no_more_items_are_upstream_than_the_batch_may_have_and_waiting_holds_no_slot() {
    let bfl = Bfl::start().await;
    let prompts = ["a", "b", "c", "d", "e", "f", "g"];
    for prompt in prompts {
        bfl.answer_polls_of(prompt, [pending()]);
    }
    worker(&bfl)
        .run(async |app| {
            let user = app.user().await;
            let id = app.batch(&user, &prompts, 3).await;
            app.until("the batch to wait without a slot", || async {
                let waits = "select count(*) from jobs j where status = 'PROCESSING' and lease_owner is null
                             and next_run_at > now() and (select count(*) from job_items where status = 'SUBMITTED') = 3";
                (app.count(waits).await == 1).then_some(())
            })
            .await;
            let mut slow = vec![pending(); 4];
            slow.push(json!({"status": "Ready"}));
            for prompt in prompts {
                bfl.answer_polls_of(prompt, slow.clone());
            }
            let job = app.final_job(&user, &id).await;
            assert_eq!(job["metadata"]["resultCount"], 7, "{job}");
            assert_consistent(app, &user, &job, 20).await;
            assert_eq!((bfl.submissions().len(), bfl.peak()), (7, 3));
        })
        .await;
}

#[tokio::test]
async fn while_one_item_takes_its_time_the_others_are_looked_at() {
    let bfl = Bfl::start().await;
    bfl.close(Point::Download);
    let mut slow = vec![pending(); 10];
    slow.push(json!({"status": "Ready"}));
    bfl.answer_polls_of("slow", slow);
    worker(&bfl)
        .run(async |app| {
            let user = app.user().await;
            let id = app.batch(&user, &["a fox", "slow"], 2).await;
            bfl.arrived(Point::Download, 2).await;
            assert_eq!(
                app.count("select claim_no::bigint from jobs").await,
                1,
                "in one step"
            );
            bfl.open(Point::Download);
            let job = app.final_job(&user, &id).await;
            assert_consistent(app, &user, &job, 20).await;
            assert_eq!(bfl.submissions().len(), 2);
        })
        .await;
}

#[tokio::test]
async fn a_batch_gives_its_slot_back_after_its_turn() {
    let bfl = Bfl::start().await;
    worker(&bfl)
        .set("/jobs/batch_turn_ms", 1)
        .run(async |app| {
            let user = app.user().await;
            let prompts = ["a", "b", "c", "d", "e", "f"];
            let id = app.batch(&user, &prompts, 2).await;
            let job = app.final_job(&user, &id).await;
            assert_eq!(job["metadata"]["resultCount"], 6, "{job}");
            assert_consistent(app, &user, &job, 20).await;
            assert_eq!(
                app.count("select claim_no::bigint from jobs").await,
                3,
                "a claim for each pair"
            );
            assert_eq!((bfl.submissions().len(), bfl.peak()), (6, 2));
        })
        .await;
}

#[tokio::test]
async fn past_its_deadline_a_batch_delivers_what_is_done() {
    let bfl = Bfl::start().await;
    bfl.answer_polls_of("slow", [pending()]);
    worker(&bfl)
        .run(async |app| {
            let user = app.user().await;
            let pass_deadline = async |id: &str, done: i64| {
                let items = format!(
                    "select count(*) filter (where status = 'COMPLETED') * 10 + count(upstream_id)
                     from job_items where job_id = '{id}'"
                );
                app.until("all items to be done or to wait", || async {
                    let all = if done > 0 { 3 } else { 2 };
                    (app.count(&items).await == done * 10 + all).then_some(())
                })
                .await;
                app.execute(&format!(
                    "update jobs set deadline_at = now() where id = '{id}'"
                ))
                .await;
            };
            let id = app.batch(&user, &["a fox", "slow", "a hare"], 3).await;
            pass_deadline(&id, 2).await;
            let job = app.final_job(&user, &id).await;
            assert_eq!(job["status"], "COMPLETED", "{job}");
            assert_eq!(job["metadata"]["resultCount"], 2);
            assert_eq!(job["metadata"]["items"][1]["code"], "GENERATION_TOO_SLOW");
            assert_consistent(app, &user, &job, 20).await;
            let id = app.batch(&user, &["slow", "slow"], 3).await;
            pass_deadline(&id, 0).await;
            let job = app.final_job(&user, &id).await;
            assert_eq!(job["status"], "FAILED", "{job}");
            assert_consistent(app, &user, &job, 18).await;
        })
        .await;
}

#[tokio::test]
async fn a_task_that_never_ends_is_one_items_failure() {
    let bfl = Bfl::start().await;
    bfl.answer_polls_of("slow", [pending()]);
    worker(&bfl)
        .run(async |app| {
            let user = app.user().await;
            let id = app.batch(&user, &["slow", "a fox"], 1).await;
            app.until("the slow one to be upstream", || async {
                let upstream = "select count(*) from job_items where upstream_id is not null";
                (app.count(upstream).await == 1).then_some(())
            })
            .await;
            // Longer than the provider's budget.
            app.execute("update job_items set upstream_since = now() - interval '1 hour'")
                .await;
            let job = app.final_job(&user, &id).await;
            assert_eq!(job["status"], "COMPLETED", "{job}");
            assert_eq!(job["metadata"]["items"][0]["code"], "GENERATION_TOO_SLOW");
            assert_consistent(app, &user, &job, 20).await;
        })
        .await;
}

#[tokio::test]
async fn being_told_to_wait_costs_no_try_and_counts_for_the_batch() {
    let bfl = Bfl::start().await;
    let busy = (429, json!({"detail": "too many active tasks"}));
    bfl.fail_submissions(vec![busy; 4]);
    worker(&bfl)
        .set("/jobs/max_tries", 1)
        .run(async |app| {
            let user = app.user().await;
            let id = app.batch(&user, &["a fox", "a hare", "an owl"], 1).await;
            let job = app.final_job(&user, &id).await;
            assert_eq!(job["metadata"]["resultCount"], 3, "{job}");
            assert_consistent(app, &user, &job, 20).await;
            assert_eq!(bfl.submissions().len(), 7);
            assert_eq!(app.count("select sum(tries) from job_items").await, 0);
        })
        .await;
}
