//! The job states under arbitrary orders of changes by current and stale claims.

use std::collections::BTreeMap;

use daygen::models::{
    jobs::{Change, Claim, ClaimLimits, Claimed, Entity, Fence, JobStatus, allowed_from, is_final},
    provider_gates,
};
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
    CancelWaiting,
    RequestCancel,
}

const QUEUE: &str = "image-generation-queue";

async fn claim(app: &TestApp, limits: ClaimLimits) -> Option<Claimed> {
    match Entity::claim(&app.ctx.db, QUEUE, Uuid::new_v4(), limits)
        .await
        .unwrap()
    {
        Claim::Job(job) => Some(*job),
        Claim::Nothing => None,
        Claim::Raced => panic!("nobody else claims here"),
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => Just(Step::Claim),
        1 => Just(Step::CancelWaiting),
        1 => Just(Step::RequestCancel),
        6 => (0..7_u8, prop::bool::weighted(0.3)).prop_map(|(kind, is_stale)| Step::Change { kind, is_stale }),
    ]
}

fn change(kind: u8) -> (Change, JobStatus) {
    match kind {
        0 => (Change::progress(40, "working"), JobStatus::Processing),
        1 => (Change::wait(0), JobStatus::Processing),
        2 => (Change::retry(0, true, false, "X", "x"), JobStatus::Pending),
        6 => (Change::cancel(), JobStatus::Cancelled),
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
                let mut is_unwanted = false;
                let owner: Uuid = user.id.parse().unwrap();
                for step in &steps {
                    match step {
                        Step::Claim => {
                            let claimed = claim(app, limits).await;
                            let is_due = !is_final(&status) && !is_leased;
                            assert_eq!(claimed.is_some(), is_due, "{step:?} of {steps:?}");
                            if let Some(job) = claimed {
                                claim_no += 1;
                                assert_eq!((job.id, job.claim_no), (id, claim_no));
                                assert_eq!(job.is_cancel_requested, is_unwanted);
                                (status, is_leased) = (JobStatus::Processing, true);
                            }
                        }
                        Step::Change { kind, is_stale } => {
                            let (change, to) = change(*kind);
                            let no = if *is_stale { claim_no - 1 } else { claim_no };
                            let fence = Fence { job_id: id, claim_no: no };
                            let is_done = Entity::transition(&app.ctx.db, fence, &change, 100).await.unwrap().is_some();
                            let expected = !is_stale && is_leased && allowed_from(&to).contains(&status);
                            assert_eq!(is_done, expected, "{step:?} of {steps:?} in {status:?}");
                            if is_done {
                                // Progress and submission keep the lease; all else frees it.
                                is_leased = matches!(kind, 0 | 5);
                                status = to;
                            }
                        }
                        Step::CancelWaiting => {
                            let is_done = Entity::cancel_waiting(&app.ctx.db, id, owner).await.unwrap();
                            assert_eq!(is_done, status == JobStatus::Pending, "{steps:?}");
                            if is_done {
                                status = JobStatus::Cancelled;
                            }
                        }
                        Step::RequestCancel => {
                            let outcome = Entity::request_cancel(&app.ctx.db, id, owner).await.unwrap();
                            let expected = (!is_final(&status) && !is_unwanted).then_some(is_leased);
                            assert_eq!(outcome, expected, "{steps:?}");
                            is_unwanted |= outcome.is_some();
                        }
                    }
                    let wrong = provider_gates::Entity::miscounts(&app.ctx.db).await.unwrap();
                    assert_eq!(wrong, [], "after {step:?} of {steps:?}");
                }
                if !is_final(&status) {
                    if !is_leased {
                        claim_no = claim(app, limits).await.unwrap().claim_no;
                    }
                    let end = Change::fail("end", "X", "x");
                    let fence = Fence { job_id: id, claim_no };
                    assert!(Entity::transition(&app.ctx.db, fence, &end, 100).await.unwrap().is_some());
                }
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
async fn a_user_at_the_limit_holds_up_nobody() {
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
            while let Some(job) = claim(app, limits).await {
                served.push(if job.user_id.to_string() == busy.id {
                    "busy"
                } else {
                    "waiting"
                });
            }
            assert_eq!(
                served,
                ["busy", "busy", "waiting"],
                "the busy one stops at its limit, and its other jobs hold up nobody"
            );
        })
        .await;
}

#[tokio::test]
async fn users_take_turns_however_many_jobs_each_has() {
    test_app()
        .run(async |app: &TestApp| {
            let users = [app.user().await, app.user().await, app.user().await];
            let names: BTreeMap<String, char> = users
                .iter()
                .map(|user| user.id.clone())
                .zip('a'..)
                .collect();
            for _ in 0..5 {
                app.generate(&users[0], json!({"prompt": "a fox"})).await;
            }
            let limits = ClaimLimits {
                lease_ms: 60_000,
                max_running_per_user: 100,
            };
            let mut served = String::new();
            let next = async || names[&claim(app, limits).await.unwrap().user_id.to_string()];
            served.push(next().await);
            for _ in 0..2 {
                app.generate(&users[1], json!({"prompt": "a fox"})).await;
            }
            served.push(next().await);
            app.generate(&users[2], json!({"prompt": "a fox"})).await;
            for _ in 0..6 {
                served.push(next().await);
            }
            assert_eq!(served, "aaababca", "a newcomer joins the next round");
        })
        .await;
}

#[tokio::test]
async fn racing_claims_keep_the_running_limit_of_a_user() {
    test_app()
        .run(async |app: &TestApp| {
            let (one, other) = (app.user().await, app.user().await);
            for _ in 0..10 {
                app.generate(&one, json!({"prompt": "a fox"})).await;
                app.generate(&other, json!({"prompt": "a fox"})).await;
            }
            let limits = ClaimLimits { lease_ms: 60_000, max_running_per_user: 3 };
            let mut claims = tokio::task::JoinSet::new();
            for _ in 0..20 {
                let db = app.ctx.db.clone();
                claims.spawn(async move {
                    Entity::claim(&db, QUEUE, Uuid::new_v4(), limits).await.unwrap();
                });
            }
            claims.join_all().await;
            let most = "select max(n) from (select count(*) as n from jobs where status = 'PROCESSING' group by user_id) u";
            assert!(app.count(most).await <= 3);
            while claim(app, limits).await.is_some() {}
            assert_eq!(app.count("select count(*) from jobs where status = 'PROCESSING'").await, 6);
        })
        .await;
}

#[tokio::test]
async fn wrong_counters_are_found_and_counted_anew() {
    test_app()
        .run(async |app: &TestApp| {
            let user = app.user().await;
            app.generate(&user, json!({"prompt": "a fox"})).await;
            app.execute("update event_sequences set waiting = 7, running = 3")
                .await;
            app.execute("insert into provider_gates (provider, running) values ('flux', 9)")
                .await;
            let wrong = provider_gates::Entity::miscounts(&app.ctx.db)
                .await
                .unwrap();
            assert_eq!(wrong.len(), 2);
            for wrong in &wrong {
                provider_gates::Entity::recount(&app.ctx.db, wrong)
                    .await
                    .unwrap();
            }
            assert_eq!(
                app.count("select (waiting * 10 + running)::bigint from event_sequences")
                    .await,
                10
            );
            assert_eq!(
                provider_gates::Entity::miscounts(&app.ctx.db)
                    .await
                    .unwrap(),
                []
            );
        })
        .await;
}
