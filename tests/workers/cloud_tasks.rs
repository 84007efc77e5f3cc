//! The relay: what it sends to Cloud Tasks, and in which order.

mod credentials;
mod faults;

use std::time::Duration;

use daygen::queue::cloud_tasks::{CloudTasksClient, NewTask};
use serde_json::{Value, json};

use crate::support::{
    TestApp, TestUser,
    bfl::Bfl,
    cloud_tasks::{CloudTasks, Outage},
    snapshot::redact,
    test_app,
};

const NEVER_MS: u64 = 3_600_000;

fn small() -> Value {
    json!({"prompt": "a fox", "providerOptions": {"width": 64, "height": 64}})
}

async fn admit(app: &TestApp, user: &TestUser, n: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for _ in 0..n {
        ids.push(app.generate(user, small()).await);
    }
    ids
}

async fn completed(app: &TestApp, user: &TestUser, ids: &[String]) {
    for id in ids {
        assert_eq!(app.final_job(user, id).await["status"], "COMPLETED");
    }
}

/// The job that each created task names, in the order of creation.
fn named(tasks: &CloudTasks) -> Vec<String> {
    tasks
        .created()
        .iter()
        .map(|task| {
            let body = task["httpRequest"]["body"].as_str().unwrap();
            let bytes =
                base64::Engine::decode(&base64::engine::general_purpose::STANDARD, body).unwrap();
            let body: Value = serde_json::from_slice(&bytes).unwrap();
            assert_eq!(body.as_object().unwrap().len(), 1, "nothing but the id");
            body["jobId"].as_str().unwrap().to_owned()
        })
        .collect()
}

#[tokio::test]
async fn a_task_carries_the_id_and_how_to_come_back() {
    let tasks = CloudTasks::start().await;
    test_app()
        .cloud_tasks(&tasks)
        .run(async |app| {
            let user = app.user().await;
            let ids = admit(app, &user, 1).await;
            completed(app, &user, &ids).await;
            assert_eq!(named(&tasks), ids);
            let row = app
                .count("select id from delivery_outbox")
                .await
                .to_string();
            let id = ids[0].as_str();
            let body = format!("{{\"jobId\":\"{id}\"}}");
            let body = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, body);
            let name = format!("{}-{id}-0-{row}", &id[28..]);
            let known = [
                (name.as_str(), "end of the id-job id-claim-row"),
                (body.as_str(), "{jobId}"),
                (app.base.as_str(), "base"),
            ];
            insta::assert_json_snapshot!("created_task", redact(&tasks.created()[0], &known));
            let dispatch = app
                .until("the answer", || async { tasks.dispatches().pop() })
                .await;
            assert_eq!(
                (dispatch.status, &dispatch.answer),
                (200, &json!({"status": "COMPLETED"}))
            );
            assert_eq!(dispatch.queue, "image-generation-queue");
            assert_eq!(dispatch.url, format!("{}/api/jobs/process", app.base));
            assert_eq!(dispatch.body, json!({ "jobId": ids[0] }));
            let key = format!("Bearer {}", crate::support::INTERNAL_KEY);
            assert_eq!(dispatch.headers["authorization"], key);
            assert_eq!(dispatch.headers["content-type"], "application/json");
        })
        .await;
}

#[tokio::test]
async fn a_wait_for_upstream_becomes_a_scheduled_task() {
    let tasks = CloudTasks::start().await;
    let bfl = Bfl::start().await;
    bfl.answer_polls([
        json!({"status": "Pending"}),
        json!({"status": "Pending"}),
        json!({"status": "Pending"}),
        json!({"status": "Ready"}),
    ]);
    test_app()
        .cloud_tasks(&tasks)
        .flux(&bfl)
        .set("/jobs/duty_interval_ms", NEVER_MS)
        .set("/providers/flux/poll_interval_ms", 700)
        .run(async |app| {
            let user = app.user().await;
            let id = app.generate(&user, json!({"prompt": "a fox"})).await;
            completed(app, &user, &[id]).await;
            let created = tasks.created();
            assert_eq!(created.len(), 2);
            assert!(created[0].get("scheduleTime").is_none());
            assert!(created[1].get("scheduleTime").is_some());
            assert_eq!(bfl.submissions().len(), 1);
        })
        .await;
}

#[tokio::test]
async fn priority_goes_first_and_then_users_in_turn() {
    let tasks = CloudTasks::start().await;
    test_app()
        .cloud_tasks(&tasks)
        .set("/queue/cloud_tasks/relay_calls", 1)
        .set("/queue/cloud_tasks/relay_interval_ms", 200)
        .set("/queue/cloud_tasks/backoff_base_ms", 500)
        .set("/queue/cloud_tasks/backoff_max_ms", 10_000)
        .run(async |app| {
            let (greedy, first, second) = (app.user().await, app.user().await, app.user().await);
            // Everything is admitted before the first task is taken.
            tasks.set_outage(Some(Outage::Unavailable));
            tasks.pause();
            let many = admit(app, &greedy, 4).await;
            let one = admit(app, &first, 1).await;
            let other = admit(app, &second, 1).await;
            app.execute(&format!(
                "update delivery_outbox set priority = 9 where job_id = '{}'",
                many[3]
            ))
            .await;
            // By now the pause is so long that what was refused may go again when it ends.
            let refused = tasks.calls().len();
            app.until("another refusal", || async {
                (tasks.calls().len() > refused.max(2)).then_some(())
            })
            .await;
            tasks.set_outage(None);
            app.until("the tasks", || async {
                (tasks.created().len() == 6).then_some(())
            })
            .await;
            let wanted = [&many[3], &one[0], &other[0], &many[0], &many[1], &many[2]];
            assert_eq!(named(&tasks).iter().collect::<Vec<_>>(), wanted);
            tasks.resume();
            completed(app, &greedy, &many).await;
        })
        .await;
}

#[tokio::test]
async fn only_so_many_tasks_of_a_user_are_on_their_way() {
    let tasks = CloudTasks::start().await;
    tasks.pause();
    test_app()
        .cloud_tasks(&tasks)
        .set("/queue/cloud_tasks/in_flight_per_user", 2)
        .run(async |app| {
            let (greedy, modest) = (app.user().await, app.user().await);
            let many = admit(app, &greedy, 6).await;
            let one = admit(app, &modest, 1).await;
            app.until("the tasks", || async {
                (tasks.tasks().len() == 3).then_some(())
            })
            .await;
            let wanted = [&many[0], &many[1], &one[0]];
            let mut names = named(&tasks);
            names.sort();
            let mut wanted: Vec<String> = wanted.into_iter().cloned().collect();
            wanted.sort();
            assert_eq!(names, wanted);
            tasks.resume();
            completed(app, &greedy, &many).await;
            completed(app, &modest, &one).await;
        })
        .await;
}

#[tokio::test]
async fn the_smallest_and_largest_waits_are_written_as_the_api_wants_them() {
    let tasks = CloudTasks::start().await;
    tasks.pause();
    test_app()
        .cloud_tasks(&tasks)
        .set("/queue/cloud_tasks/dispatch_deadline_ms", 15_500)
        .run(async |app| {
            let client = CloudTasksClient::new(&app.settings().queue, &app.base, "test").unwrap();
            let schedule = "2030-01-02T03:04:05.678901Z".parse().unwrap();
            let task = NewTask {
                name: "a-1".to_owned(),
                queue: "image-generation-queue".to_owned(),
                job_id: uuid::Uuid::nil(),
                schedule: Some(schedule),
            };
            // Further away than Cloud Tasks keeps a task: its refusal comes through.
            let error = client.create(&task).await.unwrap_err();
            assert!(error.to_string().contains("INVALID_ARGUMENT"), "{error}");
            let sent = tasks.calls().pop().unwrap().body["task"].clone();
            assert_eq!(sent["scheduleTime"], "2030-01-02T03:04:05.678901Z");
            assert_eq!(sent["dispatchDeadline"], "15.500s");
        })
        .await;
}

#[tokio::test]
async fn the_frameworks_commands_see_and_change_deliveries() {
    use daygen::queue::{apalis::ApalisQueue, cloud_tasks::CloudTasksQueue};
    use loco_rs::bgworker::{JobStatus, QueueProvider};
    let tasks = CloudTasks::start().await;
    tasks.pause();
    test_app()
        .cloud_tasks(&tasks)
        .set("/jobs/duty_interval_ms", NEVER_MS)
        .run(async |app| {
            let user = app.user().await;
            let ids = admit(app, &user, 2).await;
            app.until("the tasks", || async {
                (tasks.tasks().len() == 2).then_some(())
            })
            .await;
            // As the command line builds it.
            let pool = app.ctx.db.get_postgres_connection_pool().clone();
            let inner = ApalisQueue::new(pool, &app.settings().queue, Duration::from_secs(1));
            let queue = CloudTasksQueue::new(app.ctx.db.clone(), inner);
            let listed = queue.get_jobs(Some(&vec![JobStatus::Queued]), None).await.unwrap();
            let mut jobs: Vec<&str> =
                listed.iter().map(|job| job.data["jobId"].as_str().unwrap()).collect();
            jobs.sort_unstable();
            assert_eq!(jobs, [&ids[0], &ids[1]]);
            assert!(listed.iter().all(|job| job.name == "ImageGenerationWorker"));
            // Taken long ago and never seen again: sent once more under new names.
            app.execute("update delivery_outbox set sent_at = now() - interval '10 minutes', not_before = now() - interval '10 minutes'").await;
            queue.requeue(&5).await.unwrap();
            app.until("new tasks", || async {
                (tasks.tasks().len() == 4).then_some(())
            })
            .await;
            tasks.resume();
            completed(app, &user, &ids).await;
            queue.clear_by_status(vec![JobStatus::Completed]).await.unwrap();
            let left = queue.get_jobs(Some(&vec![JobStatus::Completed]), None).await.unwrap();
            assert!(left.is_empty(), "{left:?}");
            assert_eq!(app.count("select count(*) from jobs").await, 2, "jobs are not touched");
        })
        .await;
}
