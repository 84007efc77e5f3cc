//! The ledger under arbitrary orders of postings, compared with a plain model of it.

use std::collections::HashMap;

use daygen::{
    models::jobs::{Entity as Jobs, JobType, NewJob},
    payments::ledger::{self, Hold, LedgerError, Usage, invariants},
};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use sea_orm::{DatabaseConnection, TransactionTrait};
use serde_json::json;
use uuid::Uuid;

use crate::support::{TestApp, test_app};

#[derive(Debug, Clone)]
enum Posting {
    Hold { job: u8, amount: i64 },
    Capture { job: u8, captured: i64 },
    Release { job: u8 },
    Adjust { request: u8, amount: i64 },
}

fn posting() -> impl Strategy<Value = Posting> {
    prop_oneof![
        (0..6_u8, 1..9_i64).prop_map(|(job, amount)| Posting::Hold { job, amount }),
        (0..6_u8, 1..9_i64).prop_map(|(job, captured)| Posting::Capture { job, captured }),
        (0..6_u8).prop_map(|job| Posting::Release { job }),
        (0..4_u8, -15..15_i64).prop_map(|(request, amount)| Posting::Adjust { request, amount }),
    ]
}

/// What the books should say.
#[derive(Default)]
struct Model {
    available: i64,
    held: HashMap<u8, i64>,
    settled: HashMap<u8, ()>,
    requests: HashMap<u8, ()>,
}

struct Bench<'a> {
    db: &'a DatabaseConnection,
    user: Uuid,
    salt: Uuid,
    grace: i64,
}

impl Bench<'_> {
    fn job(&self, job: u8) -> Uuid {
        Uuid::from_u128(self.salt.as_u128().wrapping_add(u128::from(job)))
    }

    /// Holds for a job as admission does.
    async fn hold(&self, job: u8, amount: i64) -> Result<(), LedgerError> {
        let txn = self.db.begin().await?;
        let id = self.job(job);
        ledger::hold(
            &txn,
            Hold {
                user_id: self.user,
                job_id: id,
                amount,
                grace: self.grace,
                expires_in_ms: 60_000,
            },
        )
        .await?;
        let new = NewJob {
            id,
            user_id: self.user,
            r#type: JobType::ImageGeneration,
            queue: "image-generation-queue".into(),
            provider: "flux".into(),
            model: "flux-pro-1.1".into(),
            prompt: None,
            prompts: Vec::new(),
            input: json!({}),
            metadata: json!({}),
            warnings: json!([]),
            cost: amount,
            deadline_ms: 60_000,
            request_id: None,
            correlation_id: None,
        };
        assert!(Jobs::insert_within_limit(&txn, &new, 1_000).await?);
        txn.commit().await?;
        Ok(())
    }

    async fn apply(&self, posting: &Posting) -> bool {
        let usage = Usage {
            provider: "flux",
            model: "flux",
            prompt: None,
            metadata: json!({}),
        };
        let txn = self.db.begin().await.unwrap();
        let is_done = match posting {
            Posting::Hold { job, amount } => {
                txn.rollback().await.unwrap();
                return self.hold(*job, *amount).await.is_ok();
            }
            Posting::Capture { job, captured } => {
                ledger::capture(&txn, self.job(*job), *captured, &usage)
                    .await
                    .is_ok()
            }
            Posting::Release { job } => ledger::release(&txn, self.job(*job)).await.is_ok(),
            Posting::Adjust { request, amount } => {
                let request = format!("{}-{request}", self.salt);
                matches!(
                    ledger::adjust(&txn, self.user, *amount, &request, "test").await,
                    Ok(Some(_))
                )
            }
        };
        if is_done {
            txn.commit().await.unwrap();
        } else {
            txn.rollback().await.unwrap();
        }
        is_done
    }
}

impl Model {
    fn apply(&mut self, posting: &Posting, grace: i64) -> bool {
        match posting {
            Posting::Hold { job, amount } => {
                let is_new = !self.held.contains_key(job) && !self.settled.contains_key(job);
                let is_done = is_new && self.available - amount >= -grace;
                if is_done {
                    self.available -= amount;
                    self.held.insert(*job, *amount);
                }
                is_done
            }
            Posting::Capture { job, captured } => {
                let Some(held) = self.held.get(job).copied().filter(|held| captured <= held) else {
                    return false;
                };
                self.held.remove(job);
                self.settled.insert(*job, ());
                self.available += held - captured;
                true
            }
            Posting::Release { job } => {
                let Some(held) = self.held.remove(job) else {
                    return false;
                };
                self.settled.insert(*job, ());
                self.available += held;
                true
            }
            Posting::Adjust { request, amount } => {
                let is_possible = *amount > 0 || self.available + amount >= 0;
                let is_done = *amount != 0 && is_possible && !self.requests.contains_key(request);
                if is_done {
                    self.requests.insert(*request, ());
                    self.available += amount;
                }
                is_done
            }
        }
    }
}

#[tokio::test]
async fn any_order_of_postings_gives_what_the_model_says() {
    test_app()
        .run(async |app: &TestApp| {
            let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
            let mut runner = TestRunner::new_with_rng(Config::default(), rng);
            for grace in [0, 5].repeat(12) {
                let postings = proptest::collection::vec(posting(), 5..30)
                    .new_tree(&mut runner)
                    .unwrap()
                    .current();
                let user: Uuid = app.user().await.id.parse().unwrap();
                let bench = Bench { db: &app.ctx.db, user, salt: Uuid::new_v4(), grace };
                let mut model = Model { available: 20, ..Model::default() };
                for posting in &postings {
                    if matches!(posting, Posting::Adjust { amount: 0, .. }) {
                        continue;
                    }
                    let expected = model.apply(posting, grace);
                    assert_eq!(bench.apply(posting).await, expected, "{posting:?} of {postings:?}");
                    let available = ledger::balance(&app.ctx.db, user).await.unwrap();
                    assert_eq!(available, Some(model.available), "after {posting:?} of {postings:?}");
                }
                let violations = invariants::check(&app.ctx.db, 5).await.unwrap();
                let money: Vec<_> =
                    violations.iter().filter(|violation| !violation.invariant.starts_with("I10")).collect();
                assert!(money.is_empty(), "{money:#?}");
            }
            // The model settles without finishing the jobs; that is not what this test is about.
            app.execute("delete from job_events").await;
            app.execute("update jobs set cost = 0, status = 'CANCELLED', completed_at = now(), next_run_at = null").await;
            app.execute("alter table credit_reservations disable trigger credit_reservations_final").await;
            app.execute("delete from usage_events").await;
            app.execute("delete from credit_reservations").await;
            app.execute("alter table credit_entries disable trigger credit_entries_append_only").await;
            app.execute("alter table credit_transactions disable trigger credit_transactions_append_only").await;
            app.execute("delete from credit_entries").await;
            app.execute("delete from credit_transactions").await;
            app.execute("update credit_accounts set balance = 0").await;
        })
        .await;
}

#[tokio::test]
async fn parallel_holds_never_overdraw_and_parallel_settling_happens_once() {
    test_app()
        .run(async |app: &TestApp| {
            let user: Uuid = app.user().await.id.parse().unwrap();
            let bench = Bench { db: &app.ctx.db, user, salt: Uuid::new_v4(), grace: 0 };
            let holds = futures_util::future::join_all((0..50_u8).map(|job| bench.hold(job, 2))).await;
            assert_eq!(holds.iter().filter(|hold| hold.is_ok()).count(), 10);
            let held = u8::try_from(holds.iter().position(Result::is_ok).unwrap()).unwrap();
            let races = futures_util::future::join_all((0..10).map(|n| {
                let posting = if n % 2 == 0 {
                    Posting::Capture { job: held, captured: 2 }
                } else {
                    Posting::Release { job: held }
                };
                let bench = &bench;
                async move { bench.apply(&posting).await }
            }))
            .await;
            assert_eq!(races.iter().filter(|is_done| **is_done).count(), 1);
            // Finish the jobs as the winner said, so that the books are whole.
            app.execute(
                "update jobs j set status = (case when r.state = 'captured' then 'COMPLETED' else 'FAILED' end)::job_status,
                 progress = 100, result_key = 'x', error = 'x', completed_at = now(), next_run_at = null
                 from credit_reservations r where r.job_id = j.id and r.state <> 'held'",
            )
            .await;
        })
        .await;
}

#[tokio::test]
async fn the_books_refuse_what_would_break_them() {
    test_app()
        .run(async |app: &TestApp| {
            app.user().await;
            for (sql, reason) in [
                ("update credit_entries set amount = 5", "append-only"),
                ("delete from credit_transactions", "append-only"),
                (
                    "update credit_accounts set balance = -1 where kind = 'held'",
                    "check",
                ),
                (
                    "insert into credit_entries (transaction_id, account_id, amount)
                  select transaction_id, account_id, 3 from credit_entries limit 1",
                    "sum to zero",
                ),
            ] {
                use sea_orm::ConnectionTrait;
                let error = app
                    .ctx
                    .db
                    .execute_unprepared(sql)
                    .await
                    .unwrap_err()
                    .to_string();
                assert!(error.contains(reason), "{sql}: {error}");
            }
        })
        .await;
}
