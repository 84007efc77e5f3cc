//! What takes long: real intervals and many kills. `cargo test -- --ignored` runs these.

use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::json;

use crate::support::{
    bfl::{Bfl, Point},
    processes::{Installation, Pace},
    test_app,
};

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
#[ignore = "kills workers for a minute"]
async fn forty_random_kills_lose_nothing_and_pay_nothing_twice() {
    let seed: u64 = std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(20_261_122);
    println!("SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let bfl = Bfl::start().await;
    test_app()
        .flux(&bfl)
        .run(async |app| {
            let user = app.user().await;
            app.leave_credits(&user, 100).await;
            let installation = Installation {
                database_uri: &app.database.uri,
                bucket: &app.bucket,
                bfl: Some(&bfl),
            };
            let mut workers = [installation.worker(), installation.worker()];
            let mut ids = Vec::new();
            for n in 0..40_usize {
                for _ in 0..2 {
                    ids.push(app.generate(&user, json!({"prompt": "a fox"})).await);
                }
                let pause = Duration::from_millis(random.random_range(50..900));
                tokio::time::sleep(pause).await;
                let victim = &mut workers[n % 2];
                victim.kill();
                *victim = installation.worker();
            }
            for id in &ids {
                let job = app.final_job(&user, id).await;
                assert!(
                    ["COMPLETED", "FAILED"].contains(&job["status"].as_str().unwrap()),
                    "{job}"
                );
            }
            let done = app
                .count("select count(*) from jobs where status = 'COMPLETED'")
                .await;
            assert_eq!(
                app.count("select count(*) from jobs where status = 'FAILED'")
                    .await,
                0,
                "seed {seed}"
            );
            assert_eq!(app.count("select count(*) from r2_files").await, done);
            assert_eq!(
                i64::try_from(app.bucket.keys("generated-images").len()).unwrap(),
                done
            );
            assert_eq!(app.credits(&user).await, 100 - done);
        })
        .await;
}
