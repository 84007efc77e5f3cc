//! What a change of a job must not wait for, and what it must not be stopped by.

use daygen::{
    generation::pipeline::Pipeline,
    jobs::{leases::Leases, settle::Settler},
    models::{
        begin,
        delivery_outbox::{self, NewDelivery},
        jobs::{Change, Claim, ClaimLimits, Claimed, Entity},
        provider_gates,
    },
};
use sea_orm::ConnectionTrait;
use serde_json::json;
use uuid::Uuid;

use crate::support::{
    TestApp,
    bfl::Bfl,
    cloud_tasks::{CloudTasks, Outage},
    test_app,
};

const QUEUE: &str = "image-generation-queue";
const LIMITS: ClaimLimits = ClaimLimits {
    lease_ms: 600_000,
    max_running_per_user: 5,
};

async fn claim(app: &TestApp) -> Option<Claimed> {
    match Entity::claim(&app.ctx.db, QUEUE, Uuid::new_v4(), LIMITS)
        .await
        .unwrap()
    {
        Claim::Job(job) => Some(*job),
        Claim::Nothing | Claim::Raced => None,
    }
}

/// The row of a delivery refers to its job, which locks the job's key while that is written.
#[tokio::test]
async fn a_job_whose_delivery_is_being_written_is_claimed() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            let id: Uuid = app
                .generate(&user, json!({"prompt": "a fox"}))
                .await
                .parse()
                .unwrap();
            for _ in 0..2 {
                let writing = begin(&app.ctx.db).await.unwrap();
                let delivery = NewDelivery {
                    job_id: id,
                    queue: QUEUE.to_owned(),
                    worker: "ImageGenerationWorker".to_owned(),
                    priority: 0,
                    delay_ms: 0,
                };
                delivery_outbox::Entity::add(&writing, &delivery)
                    .await
                    .unwrap();
                // Once as a waiting job, once as a running one.
                let job = claim(app).await.expect("the job is due");
                writing.rollback().await.unwrap();
                let fence = job.fence();
                let handed_back =
                    Entity::transition(&app.ctx.db, fence, &Change::hand_back(), 5).await;
                assert!(handed_back.unwrap().is_some());
            }
            app.execute("delete from delivery_outbox").await;
        })
        .await;
}

#[tokio::test]
async fn wrong_counters_stop_no_job_and_are_mended() {
    test_app()
        .flux(&Bfl::start().await)
        .run(async |app| {
            let user = app.user().await;
            let mut ids = Vec::new();
            for _ in 0..3 {
                ids.push(app.generate(&user, json!({"prompt": "a fox"})).await);
            }
            let forget = async || {
                let sql = "update event_sequences set waiting = 0, running = 0;
                           update provider_gates set running = 0";
                app.ctx.db.execute_unprepared(sql).await.unwrap();
            };
            forget().await;
            let job = claim(app).await.expect("a job is due");
            forget().await;
            Settler {
                db: &app.ctx.db,
                carrier: Pipeline::of(&app.ctx).unwrap().carrier.as_ref(),
                announcer: &Pipeline::of(&app.ctx).unwrap().announcer,
                jobs: &app.settings().jobs,
            }
            .cancel(&job, &[])
            .await
            .unwrap();
            for id in &ids {
                if *id != job.id.to_string() {
                    let path = format!("/api/jobs/{id}/cancel");
                    let answer = app.post(&path, Some(&user.token), json!({})).await;
                    assert_eq!(answer.status, 200, "{}", answer.json);
                }
            }
            assert_eq!(app.credits(&user).await, 20);
            let owner = user.id.parse().unwrap();
            let wrong = provider_gates::Miscount {
                user_id: Some(owner),
                provider: None,
            };
            provider_gates::Entity::recount(&app.ctx.db, &wrong)
                .await
                .unwrap();
        })
        .await;
}

/// A cancelled job is only to be ended, so its delivery waits for nobody's turn and for no pause.
#[tokio::test]
async fn the_wish_to_cancel_is_delivered_at_once() {
    // What is written stays as it is: no task can be made of it, and no duty adds to it.
    let tasks = CloudTasks::start().await;
    tasks.set_outage(Some(Outage::Refused));
    test_app()
        .cloud_tasks(&tasks)
        .set("/jobs/duty_interval_ms", 3_600_000)
        .run(async |app| {
            let user = app.user().await;
            let leases = Leases::of(&app.ctx).unwrap();
            let pipeline = Pipeline::of(&app.ctx).unwrap();
            let settings = app.settings();
            let settler = Settler {
                db: &app.ctx.db,
                carrier: pipeline.carrier.as_ref(),
                announcer: &pipeline.announcer,
                jobs: &settings.jobs,
            };
            let now = "select count(*) from delivery_outbox d join jobs j on j.id = d.job_id
                where j.cancel_requested_at is not null and d.claim_no = j.claim_no and d.taken_at is null
                  and not d.takes_turn and d.not_before <= now()";
            let path = |id: &str| format!("/api/jobs/{id}/cancel");

            // Asked while it waits with a task upstream, and its delivery for its user's turn.
            let begun = app.generate(&user, json!({"prompt": "a fox"})).await;
            let lease = leases.claim(QUEUE).await.unwrap().unwrap();
            let submitted = Change::submitted("up-1", json!({}), 25);
            settler.note(&lease.job, &submitted).await.unwrap();
            let retry = Change::retry(0, true, false, "X", "x");
            settler.reschedule(&lease.job, &retry, 0).await.unwrap();
            drop(lease);
            let answer = app.post(&path(&begun), Some(&user.token), json!({})).await;
            assert_eq!(answer.status, 202, "{}", answer.json);
            assert_eq!(app.count(now).await, 1);
            let lease = leases.claim(QUEUE).await.unwrap().unwrap();
            settler.cancel(&lease.job, &[]).await.unwrap();
            drop(lease);

            // Asked while a step is under way that then ends with a pause.
            let working = app.generate(&user, json!({"prompt": "a fox"})).await;
            let lease = leases.claim(QUEUE).await.unwrap().unwrap();
            let answer = app.post(&path(&working), Some(&user.token), json!({})).await;
            assert_eq!(answer.status, 202, "{}", answer.json);
            let wait = Change::wait(600_000);
            settler.reschedule(&lease.job, &wait, 600_000).await.unwrap();
            drop(lease);
            assert_eq!(app.count(now).await, 1);
            let lease = leases.claim(QUEUE).await.unwrap().unwrap();
            settler.cancel(&lease.job, &[]).await.unwrap();
        })
        .await;
}
