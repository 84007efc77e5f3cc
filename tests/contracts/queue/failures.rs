//! Failing work: retries with growing pauses, limits, and handlers that panic.

use daygen::{generation::pipeline::Pipeline, jobs::leases::Leases, workers::step::JobArgs};
use loco_rs::{app::AppContext, bgworker::BackgroundWorker};
use serde_json::json;

use super::{QUEUE, ends, sides::Side, small};
use crate::support::{bfl::Bfl, test_app};

over_carriers!(
    a_failed_try_is_repeated_after_growing_pauses,
    tries_are_limited,
    a_worker_that_panics_is_bounded_and_blocks_nobody,
);

async fn a_failed_try_is_repeated_after_growing_pauses(side: &dyn Side) {
    let bfl = Bfl::start().await;
    bfl.fail_submissions(vec![(503, json!({"detail": "overloaded"})); 3]);
    side.held(test_app())
        .flux(&bfl)
        .set("/jobs/max_tries", 4)
        .set("/jobs/backoff_base_ms", 200)
        .set("/jobs/backoff_max_ms", 2_000)
        .run(async |app| {
            let user = app.user().await;
            app.note_pauses().await;
            side.release(app);
            let id = app.generate(&user, json!({"prompt": "a fox"})).await;
            assert_eq!(app.final_job(&user, &id).await["status"], "COMPLETED");
            assert_eq!(bfl.submissions().len(), 4);
            let pauses = app.noted_pauses().await;
            assert_eq!(pauses.len(), 3);
            for (pause, middle) in pauses.iter().zip([200, 400, 800]) {
                assert!(
                    (middle * 8 / 10..=middle * 12 / 10).contains(pause),
                    "{pauses:?}"
                );
            }
        })
        .await;
}

async fn tries_are_limited(side: &dyn Side) {
    let bfl = Bfl::start().await;
    bfl.fail_submissions(vec![(503, json!({"detail": "overloaded"})); 9]);
    side.held(test_app())
        .flux(&bfl)
        .set("/jobs/max_tries", 3)
        .run(async |app| {
            let user = app.user().await;
            side.release(app);
            let id = app.generate(&user, json!({"prompt": "a fox"})).await;
            assert_eq!(app.final_job(&user, &id).await["status"], "FAILED");
            assert_eq!(bfl.submissions().len(), 3);
            assert_eq!(app.credits(&user).await, 20);
            app.until("the deliveries to be done", || async {
                (side.deliveries(app).await == 0).then_some(())
            })
            .await;
        })
        .await;
}

mod poison {
    use super::{AppContext, BackgroundWorker, JobArgs, Leases, Pipeline, QUEUE};

    /// Takes the place of the real worker: panics in the middle of every step of a poisonous job.
    pub struct ImageGenerationWorker {
        ctx: AppContext,
    }

    #[async_trait::async_trait]
    impl BackgroundWorker<JobArgs> for ImageGenerationWorker {
        fn build(ctx: &AppContext) -> Self {
            Self { ctx: ctx.clone() }
        }

        async fn perform(&self, _args: JobArgs) -> loco_rs::Result<()> {
            let pipeline = Pipeline::of(&self.ctx)?;
            let Some(lease) = Leases::of(&self.ctx)?.claim(QUEUE).await? else {
                return Ok(());
            };
            let is_bounded = lease.job.rescues > pipeline.settings.jobs.max_rescues;
            let is_poison = lease.job.prompt.as_deref() == Some("poison");
            assert!(is_bounded || !is_poison, "this handler panics on purpose");
            pipeline.step(&lease.job).await.unwrap();
            Ok(())
        }
    }
}

async fn a_worker_that_panics_is_bounded_and_blocks_nobody(side: &dyn Side) {
    side.held(test_app())
        .set("/queue/concurrency", json!({ QUEUE: 1 }))
        .set("/jobs/max_rescues", 2)
        .run(async |app| {
            let queue = app.ctx.queue_provider.clone().unwrap();
            queue
                .register(poison::ImageGenerationWorker::build(&app.ctx))
                .await
                .unwrap();
            let user = app.user().await;
            let mut body = small();
            body["prompt"] = json!("poison");
            let bad = app.generate(&user, body).await;
            side.release(app);
            let good = app.generate(&user, small()).await;
            for n in 1..=3 {
                app.until("a claim that ends in a panic", || async {
                    let claim = format!(
                        "select count(*) from jobs where prompt = 'poison' and claim_no = {n}"
                    );
                    (app.count(&claim).await == 1).then_some(())
                })
                .await;
                app.execute("update jobs set next_run_at = now() where prompt = 'poison'")
                    .await;
            }
            assert_eq!(
                ends(app, &user, &[bad, good]).await,
                ["FAILED", "COMPLETED"]
            );
            let rescues = "select rescues::bigint from jobs where prompt = 'poison'";
            assert_eq!(app.count(rescues).await, 3);
            assert_eq!(app.credits(&user).await, 19);
        })
        .await;
}
