//! An API process that dies around the commit of a keyed request: the repeat finds out.

use std::time::Duration;

use rand::Rng;
use serde_json::{Value, json};

use crate::support::{
    TestUser, pictures,
    processes::{Installation, Server},
    random::seeded,
    test_app,
};

async fn post(base: &str, user: &TestUser, key: &str, body: &Value) -> Option<(u16, Value)> {
    let request = reqwest::Client::new()
        .post(format!("{base}/api/image/flux"))
        .bearer_auth(&user.token)
        .header("idempotency-key", key)
        .json(body);
    let answer = request.send().await.ok()?;
    Some((answer.status().as_u16(), answer.json().await.ok()?))
}

#[tokio::test]
async fn a_request_whose_process_was_killed_happens_once_when_repeated() {
    let (seed, mut random) = seeded();
    test_app()
        .run(async |app| {
            let user = app.user().await;
            let installation = Installation {
                database_uri: &app.database.uri,
                bucket: &app.bucket,
                bfl: None,
            };
            let plain = json!({"prompt": "a fox"});
            let picture = json!({"prompt": "a fox", "references": [pictures::data_url(64, 64)]});
            for n in 0..6 {
                let body = if n % 2 == 0 { &plain } else { &picture };
                let key = format!("key-{n}");
                let Server {
                    process: mut victim,
                    base,
                } = installation.begin_api();
                app.until("the process to listen", || async {
                    reqwest::get(format!("{base}/health")).await.ok().map(drop)
                })
                .await;
                let pause = Duration::from_micros(random.random_range(1_000..40_000));
                let kill = async {
                    tokio::time::sleep(pause).await;
                    victim.kill();
                };
                let (first, ()) = tokio::join!(post(&base, &user, &key, body), kill);
                // A marker of the dead process holds the key for its lease; nothing else may.
                app.execute(
                    "update idempotency_keys set locked_until = now() where status is null",
                )
                .await;
                let again = app
                    .until("an answer", || async {
                        let (status, json) = post(&app.base, &user, &key, body).await?;
                        (status == 201).then_some(json)
                    })
                    .await;
                if let Some((201, json)) = first {
                    assert_eq!(json, again);
                }
                let jobs = app.count("select count(*) from jobs").await;
                assert_eq!(jobs, n + 1, "seed {seed}, pause {pause:?}");
            }
            assert_eq!(app.credits(&user).await, 14);
            assert_eq!(app.count("select count(*) from apalis.jobs").await, 6);
        })
        .await;
}
