//! Real processes and signals: kills, freezes, drains, and the modes that work jobs.

use serde_json::json;

use super::{
    assert_all_completed,
    sides::{Does, Mode, Side},
    small,
};
use crate::support::{
    TestApp, TestUser,
    bfl::{Bfl, Point},
    test_app,
};

over_carriers!(
    a_job_that_kills_its_process_every_time_is_given_up,
    a_frozen_process_changes_nothing_after_its_job_was_taken_over,
    a_stop_signal_hands_running_jobs_on,
    deliveries_in_the_hands_of_a_killed_process_come_back,
    only_the_modes_that_say_so_work_jobs,
);

async fn assert_done_once(app: &TestApp, user: &TestUser, id: &str) {
    let job = app.final_job(user, id).await;
    assert_eq!(job["status"], "COMPLETED", "{job}");
    let captures = "select count(*) from credit_transactions where kind = 'capture'";
    assert_eq!(app.count(captures).await, 1);
    assert_eq!(app.count("select count(*) from r2_files").await, 1);
    assert_eq!(app.bucket.keys("generated-images").len(), 1);
    assert_eq!(app.credits(user).await, 19);
}

async fn a_job_that_kills_its_process_every_time_is_given_up(side: &dyn Side) {
    let bfl = Bfl::start().await;
    bfl.close(Point::Submit);
    side.beside(test_app())
        .flux(&bfl)
        .run(async |app| {
            let user = app.user().await;
            let limit = app.settings().jobs.max_rescues;
            let id = app.generate(&user, json!({"prompt": "a fox"})).await;
            for n in 0..=usize::try_from(limit).unwrap() {
                let mut victim = side.worker(app, Some(&bfl));
                bfl.arrived(Point::Submit, n + 1).await;
                victim.kill();
                app.lapse_leases().await;
            }
            let _heir = side.worker(app, Some(&bfl));
            assert_eq!(app.final_job(&user, &id).await["status"], "FAILED");
            assert_eq!(app.credits(&user).await, 20);
            let rescues = app.count("select rescues::bigint from jobs").await;
            assert_eq!(rescues, i64::from(limit) + 1);
        })
        .await;
}

async fn a_frozen_process_changes_nothing_after_its_job_was_taken_over(side: &dyn Side) {
    let bfl = Bfl::start().await;
    bfl.close(Point::Download);
    side.beside(test_app())
        .flux(&bfl)
        // A push that hangs at the frozen process is soon sent to the other one.
        .set("/queue/push_wait_ms", 1_000)
        .run(async |app| {
            let user = app.user().await;
            let mut old = side.worker(app, Some(&bfl));
            let id = app.generate(&user, json!({"prompt": "a fox"})).await;
            bfl.arrived(Point::Download, 1).await;
            old.freeze();
            app.lapse_leases().await;
            let _new = side.worker(app, Some(&bfl));
            bfl.arrived(Point::Download, 2).await;
            bfl.open(Point::Download);
            assert_done_once(app, &user, &id).await;
            let row = "select (extract(epoch from updated_at) * 1000)::bigint + claim_no from jobs";
            let before = app.count(row).await;
            old.thaw();
            assert!(
                old.terminate().await,
                "it finishes what it had begun and ends"
            );
            assert_eq!(app.count(row).await, before);
            assert_eq!(app.count("select rescues::bigint from jobs").await, 1);
            assert_done_once(app, &user, &id).await;
        })
        .await;
}

async fn a_stop_signal_hands_running_jobs_on(side: &dyn Side) {
    let bfl = Bfl::start().await;
    bfl.close(Point::Download);
    side.beside(test_app())
        .flux(&bfl)
        .run(async |app| {
            let user = app.user().await;
            let mut first = side.worker(app, Some(&bfl));
            let id = app.generate(&user, json!({"prompt": "a fox"})).await;
            bfl.arrived(Point::Download, 1).await;
            assert!(first.terminate().await, "it ends within its drain time");
            let free =
                "select count(*) from jobs where status = 'PROCESSING' and lease_owner is null";
            assert_eq!(app.count(free).await, 1, "the lease was given back");
            bfl.open(Point::Download);
            let _second = side.worker(app, Some(&bfl));
            assert_done_once(app, &user, &id).await;
            assert_eq!(app.count("select rescues::bigint from jobs").await, 0);
            assert_eq!(bfl.submissions().len(), 1);
        })
        .await;
}

async fn deliveries_in_the_hands_of_a_killed_process_come_back(side: &dyn Side) {
    let bfl = Bfl::start().await;
    bfl.close(Point::Submit);
    side.beside(test_app())
        .flux(&bfl)
        .set("/jobs/max_running_per_user", 100)
        .run(async |app| {
            let slots = app.settings().queue.concurrency["image-generation-queue"];
            let mut jobs = Vec::new();
            // More users than slots, so that only the slots hold jobs back.
            for _ in 0..slots * 2 {
                let user = app.user().await;
                let id = app.generate(&user, json!({"prompt": "a fox"})).await;
                jobs.push((user, id));
            }
            let mut victim = side.worker(app, Some(&bfl));
            bfl.arrived(Point::Submit, slots).await;
            victim.kill();
            app.lapse_leases().await;
            bfl.open(Point::Submit);
            let _heir = side.worker(app, Some(&bfl));
            for (user, id) in &jobs {
                assert_all_completed(app, user, std::slice::from_ref(id)).await;
            }
            let n = i64::try_from(jobs.len()).unwrap();
            assert_eq!(app.count("select count(*) from r2_files").await, n);
            assert_eq!(app.count("select sum(rescues) from jobs").await, n / 2);
        })
        .await;
}

async fn only_the_modes_that_say_so_work_jobs(side: &dyn Side) {
    side.beside(test_app())
        .run(async |app| {
            let user = app.user().await;
            let mut ids = Vec::new();
            // Those first that leave the jobs alone.
            let (working, others): (Vec<Mode>, Vec<Mode>) = side
                .modes()
                .into_iter()
                .partition(|mode| mode.does == Does::WorkImages);
            for mode in &others {
                ids.push(app.generate(&user, small()).await);
                let (_process, port) = side.process(app, None, mode.arguments);
                shows(app, mode.does, port).await;
                let claims = "select count(*) from jobs where claim_no > 0";
                assert_eq!(app.count(claims).await, 0, "{mode:?}");
            }
            for mode in &working {
                ids.push(app.generate(&user, small()).await);
                let _process = side.process(app, None, mode.arguments);
                assert_all_completed(app, &user, &ids).await;
            }
        })
        .await;
}

/// Waits until the process shows that it is up and does what it does, for some rounds: in these it would
/// have taken a job long ago.
async fn shows(app: &TestApp, does: Does, port: u16) {
    for _ in 0..5 {
        shows_once(app, does, port).await;
    }
}

async fn shows_once(app: &TestApp, does: Does, port: u16) {
    let client = reqwest::Client::new();
    let health = format!("http://127.0.0.1:{port}/health");
    let untried = "select count(*) from apalis.jobs where job_type = 'mailer' and attempts = 0";
    match does {
        Does::WorkImages => unreachable!("its jobs show it"),
        Does::WorkMail => {
            // A delivery without a letter: whoever works that queue takes it, and fails.
            let queue = app.ctx.queue_provider.clone().unwrap();
            let (class, mailer) = ("MailerWorker".to_owned(), Some("mailer".to_owned()));
            queue
                .enqueue(class, mailer, json!({}), None, None)
                .await
                .unwrap();
            app.until("a try of the mail", || async {
                (app.count(untried).await == 0).then_some(())
            })
            .await;
        }
        Does::Serve => {
            app.until("an answer", || async {
                client.get(&health).send().await.ok().map(drop)
            })
            .await;
        }
    }
}
