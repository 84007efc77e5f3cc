//! Nothing is missed: cuts, slow readers, lost notifications, a lost database.

use daygen::realtime::Announcer;
use rand::{Rng, SeedableRng, rngs::StdRng};
use sea_orm::ConnectionTrait;
use serde_json::json;

use super::NEVER_MS;
use crate::support::{
    TestUser,
    cluster::pool,
    log::{append, append_sql, logged},
    processes::Installation,
    random::seeded,
    sse::Stream,
    test_app,
};

#[tokio::test]
async fn a_lost_notification_costs_no_more_than_the_interval() {
    test_app()
        .set("/realtime/net_interval_ms", 50)
        .run(async |app| {
            let user = app.user().await;
            let id = app.generate(&user, json!({"prompt": "a fox"})).await;
            let mut stream = Stream::open(app, "/api/events", &user.token, None).await;
            stream.block().await.unwrap();
            append(app, &user, &id, 1, "{}").await;
            assert_eq!(stream.update().await.unwrap()["seq"], 2);
        })
        .await;
}

#[tokio::test]
async fn a_database_that_cuts_everybody_off_costs_no_event() {
    test_app()
        .set("/realtime/net_interval_ms", NEVER_MS)
        .run(async |app| {
            let user = app.user().await;
            let job = app.generate(&user, json!({"prompt": "a fox"})).await;
            let mut stream = Stream::open(app, "/api/events", &user.token, None).await;
            stream.block().await.unwrap();
            let aside = pool(&app.database.uri).await;
            let others = "from pg_stat_activity
                where datname = current_database() and pid <> pg_backend_pid()";
            app.until("the listener", || async {
                let listeners = format!("select count(*) {others} and query ilike 'listen%'");
                (app.count(&listeners).await == 1).then_some(())
            })
            .await;
            // Nobody is told of this event, and nobody was listening when it came.
            for sql in [
                format!("select pg_terminate_backend(pid) {others}"),
                append_sql(&user, &job, 1, "{}"),
            ] {
                sqlx::query(sqlx::AssertSqlSafe(sql))
                    .execute(&aside)
                    .await
                    .unwrap();
            }
            assert_eq!(stream.update().await.unwrap()["seq"], 2);
            // The pool gets rid of a dead connection when it is used.
            for _ in 0..app.ctx.config.database.max_connections {
                app.ctx.db.execute_unprepared("select 1").await.ok();
            }
        })
        .await;
}

#[tokio::test]
async fn a_number_from_the_future_counts_as_the_newest() {
    test_app()
        .set("/realtime/net_interval_ms", NEVER_MS)
        .run(async |app| {
            let user = app.user().await;
            let announcer = app.ctx.shared_store.get::<Announcer>().unwrap();
            let job = app.generate(&user, json!({"prompt": "a fox"})).await;
            let mut stream = Stream::open(app, "/api/events", &user.token, Some(999)).await;
            assert_eq!(stream.block().await.unwrap().id, Some(1));
            append(app, &user, &job, 1, "{}").await;
            announcer.announce(user.id.parse().unwrap());
            assert_eq!(stream.update().await.unwrap()["seq"], 2);
        })
        .await;
}

/// Reads until the event `last`, cut again and again and going on at any process, and gives every number
/// it was handed.
async fn read_with_cuts(
    bases: &[&str],
    user: &TestUser,
    last: i64,
    mut random: StdRng,
) -> Vec<i64> {
    let mut seqs = Vec::new();
    let mut after = Some(0);
    let mut cuts = 0;
    while seqs.last() != Some(&last) {
        let base = bases[random.random_range(0..bases.len())];
        let mut stream = Stream::open_at(base, "/api/events", &user.token, after).await;
        for _ in 0..random.random_range(1..30) {
            let update = stream.update().await.expect("the stream goes on");
            assert_eq!(update["seq"].as_i64(), stream.last_id);
            seqs.push(update["seq"].as_i64().unwrap());
            if seqs.last() == Some(&last) {
                break;
            }
        }
        after = stream.last_id;
        cuts += 1;
    }
    assert!(cuts > 5, "{cuts} cuts");
    seqs
}

#[tokio::test]
async fn readers_that_are_cut_at_random_miss_nothing_and_get_nothing_twice() {
    const EVENTS: usize = 300;
    let (seed, _) = seeded();
    // Small pages and buffers, so that readers fall behind.
    test_app()
        .set("/realtime/net_interval_ms", NEVER_MS)
        .set("/realtime/page_events", 7)
        .set("/realtime/buffer_events", 4)
        .run(async |app| {
            let installation = Installation {
                database_uri: &app.database.uri,
                bucket: &app.bucket,
                bfl: None,
            };
            let other = installation.api().await;
            let bases = [app.base.as_str(), other.base.as_str()];
            let announcer = app.ctx.shared_store.get::<Announcer>().unwrap();
            let mut users = Vec::new();
            for _ in 0..3 {
                let user = app.user().await;
                let job = app.generate(&user, json!({"prompt": "a fox"})).await;
                users.push((user, job));
            }
            let last = i64::try_from(EVENTS).unwrap() + 1;
            let writers = users.iter().enumerate().map(|(n, (user, job))| {
                let (announcer, mut random) = (&announcer, StdRng::seed_from_u64(seed + n as u64));
                async move {
                    let id = user.id.parse().unwrap();
                    let mut left = EVENTS;
                    while left > 0 {
                        let count = random.random_range(1..=5).min(left);
                        append(app, user, job, count, "{}").await;
                        announcer.announce(id);
                        left -= count;
                    }
                }
            });
            let readers = (0..6_usize).map(|n| {
                let random = StdRng::seed_from_u64(seed + 100 + n as u64);
                let user = &users[n % 3].0;
                read_with_cuts(&bases, user, last, random)
            });
            let (_, seen) = futures_util::future::join(
                futures_util::future::join_all(writers),
                futures_util::future::join_all(readers),
            )
            .await;
            for (n, seen) in seen.into_iter().enumerate() {
                assert_eq!(seen, logged(app, &users[n % 3].0).await, "seed {seed}");
            }
        })
        .await;
}

#[tokio::test]
async fn a_reader_that_does_not_read_holds_nobody_up() {
    const EVENTS: usize = 4_000;
    test_app()
        .set("/realtime/net_interval_ms", NEVER_MS)
        .set("/realtime/buffer_events", 16)
        .run(async |app| {
            let announcer = app.ctx.shared_store.get::<Announcer>().unwrap();
            let user = app.user().await;
            let job = app.generate(&user, json!({"prompt": "a fox"})).await;
            let mut slow = Stream::open(app, "/api/events", &user.token, Some(0)).await;
            let mut quick = Stream::open(app, "/api/events", &user.token, Some(0)).await;
            // Far more than the buffers between two sockets hold.
            let metadata = json!({"note": "x".repeat(4096)}).to_string();
            for _ in 0..10 {
                append(app, &user, &job, EVENTS / 10, &metadata).await;
                announcer.announce(user.id.parse().unwrap());
            }
            let log = logged(app, &user).await;
            for seq in &log {
                assert_eq!(quick.update().await.unwrap()["seq"], *seq);
            }
            for seq in &log {
                assert_eq!(slow.update().await.unwrap()["seq"], *seq);
            }
        })
        .await;
}
