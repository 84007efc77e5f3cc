//! Looks at the app and its database, and changes by hand.

use std::time::Duration;

use daygen::{models::provider_gates, payments::ledger::invariants};
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use serde_json::Value;

use super::{TestApp, TestUser};

impl TestApp {
    /// Follows a job as the client does until it is in a final state.
    pub async fn final_job(&self, user: &TestUser, id: &str) -> Value {
        self.until(id, || async {
            let job = self.job(user, id).await;
            let status = job["status"].as_str().unwrap_or_default().to_owned();
            ["COMPLETED", "FAILED", "CANCELLED"]
                .contains(&status.as_str())
                .then_some(job)
        })
        .await
    }

    /// Asks again and again, bounded, until `probe` gives something.
    pub async fn until<T, F: Future<Output = Option<T>>>(
        &self,
        what: &str,
        probe: impl FnMut() -> F,
    ) -> T {
        self.within(Duration::from_secs(120), what, probe).await
    }

    /// [`TestApp::until`] with a bound of its own.
    pub async fn within<T, F: Future<Output = Option<T>>>(
        &self,
        bound: Duration,
        what: &str,
        mut probe: impl FnMut() -> F,
    ) -> T {
        let waited = tokio::time::timeout(bound, async {
            let mut interval = tokio::time::interval(Duration::from_millis(20));
            loop {
                interval.tick().await;
                if let Some(found) = probe().await {
                    return found;
                }
            }
        });
        match waited.await {
            Ok(found) => found,
            Err(_) => panic!("waited too long for {what}\n{}", self.standing().await),
        }
    }

    /// Jobs and deliveries as they stand, for who has to find out what a test waited for in vain.
    async fn standing(&self) -> String {
        let sql = "select coalesce(string_agg(line, E'\\n'), 'no jobs') from (
            select 'at ' || now() as line
            union all
            select 'job ' || (jsonb_strip_nulls(to_jsonb(j)
                - array['prompt', 'input', 'metadata', 'warnings', 'result', 'upstream']))::text from jobs j
            union all select 'outbox ' || (to_jsonb(o))::text from delivery_outbox o
            union all select 'delivery ' || (to_jsonb(d) - 'job')::text from apalis.jobs d where d.status <> 'Done'
            union all select 'gate ' || (to_jsonb(g))::text from provider_gates g
            union all select 'user ' || (to_jsonb(s))::text from event_sequences s) as lines";
        let statement = Statement::from_string(DbBackend::Postgres, sql);
        match self.ctx.db.query_one_raw(statement).await {
            Ok(Some(row)) => row.try_get_by_index(0).unwrap_or_default(),
            other => format!("{other:?}"),
        }
    }

    /// One number from the database.
    pub async fn count(&self, sql: &str) -> i64 {
        let row = self
            .ctx
            .db
            .query_one_raw(Statement::from_string(DbBackend::Postgres, sql))
            .await
            .unwrap()
            .unwrap();
        row.try_get_by_index(0).unwrap()
    }

    /// Changes rows by hand. That makes counters of jobs wrong, so they are counted anew.
    pub async fn execute(&self, sql: &str) {
        self.ctx.db.execute_unprepared(sql).await.unwrap();
        if ["update jobs", "insert into jobs", "delete from jobs"]
            .iter()
            .any(|change| sql.contains(change))
        {
            let db = &self.ctx.db;
            for wrong in provider_gates::Entity::miscounts(db).await.unwrap() {
                let txn = daygen::models::begin(db).await.unwrap();
                provider_gates::Entity::recount(&txn, &wrong).await.unwrap();
                txn.commit().await.unwrap();
            }
        }
    }

    /// Lets every lease run out now, as it does some time after its process died.
    pub async fn lapse_leases(&self) {
        self.execute("update jobs set next_run_at = now() where lease_owner is not null")
            .await;
    }

    /// Notes from now on how long each failed try is to wait for the next one.
    pub async fn note_pauses(&self) {
        self.execute(
            "create table noted_pauses (n bigserial, ms bigint);
             create function note_pause() returns trigger language plpgsql as $$ begin
                insert into noted_pauses (ms) values (extract(epoch from new.next_run_at - now()) * 1000);
                return null; end $$;
             create trigger note_pause after update on jobs for each row
                when (old.status = 'PROCESSING' and new.status = 'PENDING') execute function note_pause()",
        )
        .await;
    }

    /// The pauses that were noted, in milliseconds, as they were planned: a busy machine makes them longer.
    pub async fn noted_pauses(&self) -> Vec<i64> {
        sqlx::query_scalar("select ms from noted_pauses order by n")
            .fetch_all(self.ctx.db.get_postgres_connection_pool())
            .await
            .unwrap()
    }

    /// The ledger's invariants hold, and the counters behind the limits are what they count.
    pub async fn assert_clean_books(&self) {
        let wrong = provider_gates::Entity::miscounts(&self.ctx.db)
            .await
            .unwrap();
        assert_eq!(wrong, []);
        let grace = self.settings().credits.grace;
        let violations = invariants::check(&self.ctx.db, grace).await.unwrap();
        assert!(violations.is_empty(), "{violations:#?}");
    }
}
