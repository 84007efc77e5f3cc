//! The job states under arbitrary orders of changes by current and stale claims.

use daygen::models::jobs::{Change, ClaimLimits, Entity, Fence, JobStatus, allowed_from, is_final};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use serde_json::json;
use uuid::Uuid;

use crate::support::{TestApp, test_app};

#[derive(Debug, Clone)]
enum Step {
    Claim,
    Change { kind: u8, is_stale: bool },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => Just(Step::Claim),
        5 => (0..6_u8, prop::bool::weighted(0.3)).prop_map(|(kind, is_stale)| Step::Change { kind, is_stale }),
    ]
}

fn change(kind: u8) -> (Change, JobStatus) {
    match kind {
        0 => (Change::progress(40, "working"), JobStatus::Processing),
        1 => (Change::wait(0), JobStatus::Processing),
        2 => (Change::retry(0, true, false, "X", "x"), JobStatus::Pending),
        3 => (Change::fail("failed", "X", "x"), JobStatus::Failed),
        4 => (
            Change::complete(json!({}), "generated-images/x", None),
            JobStatus::Completed,
        ),
        _ => (
            Change::submitted("up-1", json!({}), 20),
            JobStatus::Processing,
        ),
    }
}

#[tokio::test]
async fn only_the_newest_claim_changes_a_job_and_only_along_the_edges() {
    test_app()
        .run(async |app: &TestApp| {
            let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[11; 32]);
            let mut runner = TestRunner::new_with_rng(Config::default(), rng);
            let user = app.user().await;
            let limits = ClaimLimits { lease_ms: 60_000, max_running_per_user: 100 };
            for _ in 0..15 {
                let steps =
                    proptest::collection::vec(step(), 3..20).new_tree(&mut runner).unwrap().current();
                let id: Uuid = app.generate(&user, json!({"prompt": "a fox"})).await.parse().unwrap();
                let (mut status, mut claim_no, mut is_leased) = (JobStatus::Pending, 0, false);
                for step in &steps {
                    match step {
                        Step::Claim => {
                            let claimed = Entity::claim(&app.ctx.db, "image-generation-queue", Uuid::new_v4(), limits)
                                .await
                                .unwrap();
                            let is_due = !is_final(&status) && !is_leased;
                            assert_eq!(claimed.is_some(), is_due, "{step:?} of {steps:?}");
                            if let Some(job) = claimed {
                                claim_no += 1;
                                assert_eq!((job.id, job.claim_no), (id, claim_no));
                                (status, is_leased) = (JobStatus::Processing, true);
                            }
                        }
                        Step::Change { kind, is_stale } => {
                            let (change, to) = change(*kind);
                            let no = if *is_stale { claim_no - 1 } else { claim_no };
                            let fence = Fence { job_id: id, claim_no: no };
                            let is_done = Entity::transition(&app.ctx.db, fence, &change).await.unwrap();
                            let expected = !is_stale && is_leased && allowed_from(&to).contains(&status);
                            assert_eq!(is_done, expected, "{step:?} of {steps:?} in {status:?}");
                            if is_done {
                                // Progress and submission keep the lease; all else frees it.
                                is_leased = matches!(kind, 0 | 5);
                                status = to;
                            }
                        }
                    }
                }
                app.execute(&format!("update jobs set status = 'FAILED', error = 'end', completed_at = now(), next_run_at = null, lease_owner = null where id = '{id}' and status in ('PENDING', 'PROCESSING')")).await;
            }
            let gaps = "select count(*) from (select seq - lag(seq) over (partition by user_id order by seq) as step
                        from job_events) steps where step <> 1";
            assert_eq!(app.count(gaps).await, 0, "event numbers have no gaps");
            app.execute("update jobs set cost = 0").await;
            app.execute("update credit_reservations set state = 'released', settled_at = now() where state = 'held'").await;
            app.execute("alter table credit_entries disable trigger credit_entries_append_only").await;
            app.execute("alter table credit_transactions disable trigger credit_transactions_append_only").await;
            app.execute("truncate credit_entries, credit_transactions, credit_reservations").await;
            app.execute("update credit_accounts set balance = 0").await;
        })
        .await;
}

#[tokio::test]
async fn a_final_state_is_final_whoever_writes() {
    test_app()
        .worker()
        .run(async |app: &TestApp| {
            use sea_orm::ConnectionTrait;
            let user = app.user().await;
            let id = app.generate(&user, json!({"prompt": "a fox"})).await;
            app.final_job(&user, &id).await;
            let sql =
                "update jobs set status = 'PENDING', completed_at = null, next_run_at = now()";
            assert!(app.ctx.db.execute_unprepared(sql).await.is_err());
        })
        .await;
}

#[tokio::test]
async fn waiting_users_are_served_before_busy_ones() {
    test_app()
        .run(async |app: &TestApp| {
            let (busy, waiting) = (app.user().await, app.user().await);
            for _ in 0..4 {
                app.generate(&busy, json!({"prompt": "a fox"})).await;
            }
            app.generate(&waiting, json!({"prompt": "a fox"})).await;
            let limits = ClaimLimits {
                lease_ms: 60_000,
                max_running_per_user: 2,
            };
            let mut served = Vec::new();
            while let Some(job) = Entity::claim(
                &app.ctx.db,
                "image-generation-queue",
                Uuid::new_v4(),
                limits,
            )
            .await
            .unwrap()
            {
                served.push(if job.user_id.to_string() == busy.id {
                    "busy"
                } else {
                    "waiting"
                });
            }
            assert_eq!(
                served,
                ["busy", "waiting", "busy"],
                "and the busy one stops at its limit"
            );
        })
        .await;
}
