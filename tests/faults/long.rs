//! What takes long: real intervals and many kills. `cargo test -- --ignored` runs these.

use std::time::{Duration, Instant};

use rand::Rng;
use serde_json::json;

use super::chaos::{Chaos, Crew};
use crate::support::{
    bfl::{Bfl, Point},
    processes::{Installation, Pace},
    random::seeded,
    test_app,
};

#[tokio::test]
#[ignore = "kills processes for minutes"]
async fn two_hundred_kills_during_five_hundred_jobs_lose_nothing_and_pay_nothing_twice() {
    let chaos = Chaos {
        jobs: 500,
        kills: 200,
        crashes: 5,
    };
    let figures = chaos.run().await;
    println!("{figures:#?}");
    assert!(figures.longest_recovery < Duration::from_secs(15));
}

#[tokio::test]
#[ignore = "waits for real lease intervals"]
async fn with_real_intervals_a_killed_workers_job_is_done_within_fifteen_seconds() {
    let bfl = Bfl::start().await;
    bfl.close(Point::Download);
    test_app()
        .flux(&bfl)
        .run(async |app| {
            let user = app.user().await;
            let installation = Installation {
                database_uri: &app.database.uri,
                bucket: &app.bucket,
                bfl: Some(&bfl),
            };
            let mut victim = installation.worker_at(Pace::Real);
            let id = app.generate(&user, json!({"prompt": "a fox"})).await;
            bfl.arrived(Point::Download, 1).await;
            let _heir = installation.worker_at(Pace::Real);
            victim.kill();
            let killed = Instant::now();
            bfl.open(Point::Download);
            assert_eq!(app.final_job(&user, &id).await["status"], "COMPLETED");
            let took = killed.elapsed();
            assert!(took < Duration::from_secs(15), "{took:?}");
            assert_eq!(bfl.submissions().len(), 1);
        })
        .await;
}

#[tokio::test]
#[ignore = "kills workers for half a minute"]
async fn random_kills_during_batches_charge_exactly_what_is_there() {
    let (seed, mut random) = seeded();
    let bfl = Bfl::start().await;
    test_app()
        .flux(&bfl)
        .run(async |app| {
            let user = app.user().await;
            app.leave_credits(&user, 500).await;
            let installation = Installation {
                database_uri: &app.database.uri,
                bucket: &app.bucket,
                bfl: Some(&bfl),
            };
            let mut crew = Crew::start(&installation, 2, 0).await;
            let mut ids = Vec::new();
            for n in 0..25_usize {
                let prompts: Vec<String> = (0..random.random_range(1..=8))
                    .map(|item| format!("prompt {n}-{item}"))
                    .collect();
                for prompt in &prompts {
                    if random.random_bool(0.2) {
                        let moderated = json!({"status": "Request Moderated"});
                        bfl.answer_polls_of(prompt, [json!({"status": "Pending"}), moderated]);
                    }
                }
                let prompts: Vec<&str> = prompts.iter().map(String::as_str).collect();
                ids.push(app.batch(&user, &prompts, random.random_range(1..=5)).await);
                tokio::time::sleep(Duration::from_millis(random.random_range(50..900))).await;
                crew.kill_one(&mut random);
            }
            let mut delivered = 0;
            for id in &ids {
                let job = app.final_job(&user, id).await;
                delivered += job["metadata"]["resultCount"].as_i64().unwrap();
            }
            assert!(delivered > 0);
            let done = "select count(*) from job_items where status = 'COMPLETED'";
            assert_eq!(app.count(done).await, delivered, "seed {seed}");
            assert_eq!(app.count("select count(*) from r2_files").await, delivered);
            let captured = "select sum(captured_amount)::bigint from credit_reservations";
            assert_eq!(app.count(captured).await, delivered);
            assert_eq!(app.credits(&user).await, 500 - delivered);
            let keys = app.bucket.keys("generated-images").len();
            assert_eq!(
                i64::try_from(keys).unwrap(),
                delivered,
                "no object without a row"
            );
        })
        .await;
}
