//! What the relay does when Cloud Tasks fails, loses tasks, or is answered by nobody.

use std::time::Duration;

use serde_json::json;

use super::{admit, completed};
use crate::support::{
    bfl::{Bfl, Point},
    cloud_tasks::{CloudTasks, Fault},
    test_app,
};

#[tokio::test]
async fn lost_answers_make_no_second_task() {
    let tasks = CloudTasks::start().await;
    tasks.pause();
    tasks.fail_creations(vec![Fault::LoseAnswer; 3]);
    test_app()
        .cloud_tasks(&tasks)
        .run(async |app| {
            let user = app.user().await;
            let ids = admit(app, &user, 3).await;
            let sent = "select count(*) from delivery_outbox where sent_at is not null";
            app.until("the answers", || async {
                (app.count(sent).await == 3).then_some(())
            })
            .await;
            assert_eq!(tasks.tasks().len(), 3);
            tasks.resume();
            completed(app, &user, &ids).await;
            app.until("the dispatches", || async {
                (tasks.dispatches().len() >= 3).then_some(())
            })
            .await;
            assert_eq!(tasks.dispatches().len(), 3);
            assert_eq!(app.count("select sum(claim_no) from jobs").await, 3);
            let repeated = tasks
                .calls()
                .iter()
                .filter(|call| call.status == 409)
                .count();
            assert!(repeated >= 1, "a name was met again");
        })
        .await;
}

#[tokio::test]
async fn faults_that_pass_are_waited_out() {
    for status in [429, 500, 503] {
        let tasks = CloudTasks::start().await;
        tasks.fail_creations(vec![Fault::Status(status); 4]);
        test_app()
            .cloud_tasks(&tasks)
            .run(async |app| {
                let user = app.user().await;
                let ids = admit(app, &user, 2).await;
                completed(app, &user, &ids).await;
                // A task works the job whose turn it is. When that is one whose own task is refused yet,
                // the other one's delivery is made up for by the duty.
                assert!(!tasks.created().is_empty(), "{status}");
            })
            .await;
    }
}

#[tokio::test]
async fn a_queue_that_is_not_there_loses_nothing_and_is_not_hammered() {
    let tasks = CloudTasks::start().await;
    tasks.delete_queue("image-generation-queue");
    test_app()
        .cloud_tasks(&tasks)
        .set("/queue/cloud_tasks/relay_calls", 1)
        .run(async |app| {
            let user = app.user().await;
            let ids = admit(app, &user, 3).await;
            app.until("some refusals", || async {
                (tasks.calls().len() >= 3).then_some(())
            })
            .await;
            let begun = std::time::Instant::now();
            let before = tasks.calls().len();
            app.until("some more", || async {
                (tasks.calls().len() >= before + 2).then_some(())
            })
            .await;
            assert!(
                begun.elapsed() > Duration::from_millis(300),
                "one call each longest pause"
            );
            let noted = "select count(*) from delivery_outbox where last_error like '%NOT_FOUND%'";
            assert!(app.count(noted).await >= 1);
            tasks.create_queue("image-generation-queue");
            completed(app, &user, &ids).await;
        })
        .await;
}

#[tokio::test]
async fn one_rejected_delivery_does_not_stop_the_others() {
    let tasks = CloudTasks::start().await;
    tasks.fail_creations([Fault::Status(400)]);
    test_app()
        .cloud_tasks(&tasks)
        .set("/queue/cloud_tasks/backoff_base_ms", 60_000)
        .set("/queue/cloud_tasks/backoff_max_ms", 60_000)
        .run(async |app| {
            let user = app.user().await;
            let rejection = async |job: &str| {
                let sql = format!(
                    "select count(*) from delivery_outbox
                     where last_error like '%INVALID_ARGUMENT%' and job_id = '{job}'"
                );
                app.until("the rejection", || async {
                    (app.count(&sql).await == 1).then_some(())
                })
                .await;
            };
            let bad = admit(app, &user, 1).await;
            rejection(&bad[0]).await;
            let good = admit(app, &user, 2).await;
            completed(app, &user, &[bad, good].concat()).await;
            // A lone one waits for itself, or for an operator.
            tasks.fail_creations([Fault::Status(400)]);
            let lone = admit(app, &user, 1).await;
            rejection(&lone[0]).await;
            let queue = app.ctx.queue_provider.clone().unwrap();
            assert!(queue.retry_failed(None).await.unwrap() >= 1);
            completed(app, &user, &lone).await;
        })
        .await;
}

#[tokio::test]
async fn a_delivery_used_up_in_vain_comes_again_under_a_new_name() {
    let tasks = CloudTasks::start().await;
    let bfl = Bfl::start().await;
    bfl.close(Point::Submit);
    test_app()
        .cloud_tasks(&tasks)
        .flux(&bfl)
        .set("/jobs/max_running_per_user", 1)
        .set("/queue/cloud_tasks/in_flight_per_user", 1)
        .run(async |app| {
            let user = app.user().await;
            let running = app.generate(&user, json!({"prompt": "a fox"})).await;
            bfl.arrived(Point::Submit, 1).await;
            let held = app.generate(&user, json!({"prompt": "a fox"})).await;
            // Somebody has the held-back delivery sent at once; it finds the user at the limit.
            let request = app
                .request(reqwest::Method::POST, "/api/jobs/process")
                .bearer_auth(crate::support::INTERNAL_KEY)
                .header(
                    "x-cloudtasks-taskname",
                    format!(
                        "x-{held}-0-{}",
                        app.count(&format!(
                            "select id from delivery_outbox where job_id = '{held}'"
                        ))
                        .await
                    ),
                )
                .json(&json!({ "jobId": held }));
            assert_eq!(app.send(request).await.json, json!({"status": "PENDING"}));
            bfl.open(Point::Submit);
            completed(app, &user, &[running, held.clone()]).await;
            let first_claim = format!("{held}-0-");
            let sent = || {
                let dispatches = tasks.dispatches();
                let ours = dispatches
                    .iter()
                    .filter(|dispatch| dispatch.task.contains(&first_claim));
                ours.count()
            };
            app.until("the dispatch", || async { (sent() > 0).then_some(()) })
                .await;
            assert_eq!(sent(), 1, "the one that was used up never went out");
        })
        .await;
}

#[tokio::test]
async fn a_task_that_hangs_at_a_dead_process_is_replaced() {
    let tasks = CloudTasks::start().await;
    // Accepts connections and never answers.
    let black_hole = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hole = format!("http://{}", black_hole.local_addr().unwrap());
    tasks.balance(&[&hole]);
    test_app()
        .cloud_tasks(&tasks)
        .set("/queue/push_wait_ms", 300)
        .run(async |app| {
            let user = app.user().await;
            let ids = admit(app, &user, 1).await;
            app.until("the task to be under way", || async {
                (tasks.tasks().len() == 1).then_some(())
            })
            .await;
            let (_connection, _) = black_hole.accept().await.unwrap();
            tasks.balance(&[]);
            completed(app, &user, &ids).await;
            let hung = "select count(*) from delivery_outbox where last_error like '%hangs%'";
            assert!(app.count(hung).await >= 1);
        })
        .await;
}
