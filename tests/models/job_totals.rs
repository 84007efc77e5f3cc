//! The figures: every finished job is counted once, and looks stay cheap.

use daygen::models::job_totals;
use sea_orm::{ConnectionTrait, DbBackend, Statement};

use crate::support::{
    TestApp,
    operators::{COMPLETED, FAILED, finished},
    test_app,
};

async fn counted(app: &TestApp) -> i64 {
    let lines = job_totals::Entity::figures(&app.ctx.db, 300).await.unwrap();
    let total = lines.iter().filter(|line| line.section == "total");
    total.map(|line| line.jobs).sum()
}

#[tokio::test]
async fn every_job_is_counted_once_whatever_is_rolled_up_meanwhile() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            finished(app, &user, 10, COMPLETED, 60).await;
            assert_eq!(counted(app).await, 10);
            let roll_up = async || job_totals::Entity::roll_up(&app.ctx.db, 100).await.unwrap();
            // A job that finishes in a transaction which is still open bears a time of the past.
            let pool = crate::support::cluster::pool(&app.database.uri).await;
            let mut open = pool.begin().await.unwrap();
            sqlx::query(sqlx::AssertSqlSafe(format!(
                "insert into jobs (id, user_id, type, queue, provider, model, input, cost, deadline_at, next_run_at,
                                   completed_at, status, progress, result_key)
                 values (gen_random_uuid(), '{}', 'IMAGE_GENERATION', 'q', 'flux', 'm', '{{}}', 0, now(), null,
                         clock_timestamp(), 'COMPLETED', 100, 'k')",
                user.id
            )))
            .execute(&mut *open)
            .await
            .unwrap();
            assert_eq!(roll_up().await, 10);
            assert_eq!((roll_up().await, counted(app).await), (0, 10));
            open.commit().await.unwrap();
            assert_eq!(counted(app).await, 11);
            app.until("the job to be older than the horizon", || async {
                (roll_up().await == 1).then_some(())
            })
            .await;
            assert_eq!((roll_up().await, counted(app).await), (0, 11));
            let (a, b) = tokio::join!(
                finished(app, &user, 500, FAILED, 0),
                futures_util::future::join_all((0..20).map(|_| roll_up()))
            );
            let () = a;
            drop::<Vec<i64>>(b);
            assert_eq!(counted(app).await, 511);
            // A batch ends between two times, never between two jobs of one time.
            for _ in 0..30 {
                finished(app, &user, 10, COMPLETED, 0).await;
            }
            assert_eq!(counted(app).await, 811);
            let rolled = async || job_totals::Entity::roll_up(&app.ctx.db, 25).await.unwrap();
            app.until("all to be in the totals", || async {
                let jobs = rolled().await;
                assert!(jobs <= 530, "{jobs}");
                assert_eq!(counted(app).await, 811);
                let sum = "select coalesce(sum(jobs), 0)::bigint from job_totals";
                (app.count(sum).await == 811).then_some(())
            })
            .await;
        })
        .await;
}

/// Figures over so many jobs that finished long ago, and five that just did; gives the plan.
async fn look_at_many(app: &TestApp, many: i64) -> String {
    let user = app.user().await;
    finished(app, &user, many, COMPLETED, 86_400).await;
    assert_eq!(
        job_totals::Entity::roll_up(&app.ctx.db, many)
            .await
            .unwrap(),
        many
    );
    app.execute("analyze jobs").await;
    finished(app, &user, 5, COMPLETED, 0).await;
    assert_eq!(counted(app).await, many + 5);
    let explain = format!(
        "explain analyze {}",
        job_totals::figures_sql().replace("$1", "300")
    );
    let rows = app
        .ctx
        .db
        .query_all_raw(Statement::from_string(DbBackend::Postgres, explain))
        .await
        .unwrap();
    let plan: Vec<String> = rows
        .iter()
        .map(|row| row.try_get_by_index(0).unwrap())
        .collect();
    plan.join("\n")
}

#[tokio::test]
async fn many_finished_jobs_are_not_read_again_and_again() {
    test_app()
        .run(async |app| {
            let plan = look_at_many(app, 30_000).await;
            assert!(!plan.contains("Seq Scan on jobs"), "{plan}");
            assert!(plan.contains("jobs_completed"), "{plan}");
        })
        .await;
}

#[tokio::test]
#[ignore = "makes a million jobs"]
async fn a_look_at_a_million_finished_jobs_takes_milliseconds() {
    test_app()
        .run(async |app| {
            let plan = look_at_many(app, 1_000_000).await;
            println!("{plan}");
            let started = std::time::Instant::now();
            for _ in 0..20 {
                counted(app).await;
            }
            let took = started.elapsed() / 20;
            println!("one look: {took:?}");
            assert!(took < std::time::Duration::from_millis(100), "{took:?}");
        })
        .await;
}
