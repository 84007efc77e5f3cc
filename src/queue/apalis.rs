//! The default carrier: apalis on Postgres, as a Loco queue provider.
//!
//! Deliveries are at least once. Back-off, limits, fencing and fairness belong to the jobs table;
//! here a delivery is taken, handed to its worker, and marked done.

mod admin;
mod inspect;
mod worker;

use std::{collections::BTreeMap, time::Duration};

use apalis_postgres::PostgresStorage;
use async_trait::async_trait;
use chrono::{TimeDelta, Utc};
use loco_rs::{
    Error, Result,
    bgworker::{Job, JobHandler, JobStatus, QueueProvider},
};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, FromQueryResult, prelude::Uuid};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use super::{Carrier, Delivery, LiveDelivery, WorkerBeat, handlers::Handlers, wake::Bells};
use crate::{models::statement, settings};

/// Times a delivery is handed out when its handler fails or its process dies.
const MAX_ATTEMPTS: i32 = 5;

/// `now()` is the transaction's start: the insert trigger announces only what is due by it.
const INSERT: &str = "insert into apalis.jobs
    (id, job_type, job, status, attempts, max_attempts, run_at, priority)
    values ($1, $2, $3, 'Pending', 0, $4, now() + $5 * interval '1 millisecond', $6)";

/// What a delivery carries.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Envelope {
    /// Class name of the worker.
    class: String,
    args: Json,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
}

/// apalis on Postgres behind Loco's queue trait and our carrier trait.
#[derive(Clone)]
pub struct ApalisQueue {
    pool: PgPool,
    handlers: Handlers,
    concurrency: BTreeMap<String, usize>,
    poll_interval: Duration,
    shutdown: Duration,
    bells: Bells,
}

impl ApalisQueue {
    /// A provider over `pool`, which should be the carrier's own: apalis drops calls that are under
    /// way when its workers end. Nothing runs before [`QueueProvider::run`].
    #[must_use]
    pub fn new(pool: PgPool, queue: &settings::Queue, shutdown: Duration) -> Self {
        Self {
            pool,
            handlers: Handlers::new(&queue.concurrency),
            concurrency: queue.concurrency.clone(),
            poll_interval: Duration::from_millis(queue.poll_interval_ms),
            shutdown,
            bells: Bells::default(),
        }
    }

    /// The workers that deliveries are handed to.
    #[must_use]
    pub fn handlers(&self) -> Handlers {
        self.handlers.clone()
    }

    fn stop(&self) -> CancellationToken {
        self.handlers.stop_token()
    }

    /// The bells that wake this process' queues; its listener rings them.
    #[must_use]
    pub fn bells(&self) -> Bells {
        self.bells.clone()
    }

    fn envelope(class: String, args: Json, tags: Vec<String>) -> Result<Vec<u8>> {
        Ok(serde_json::to_vec(&Envelope { class, args, tags })?)
    }
}

#[async_trait]
impl Carrier for ApalisQueue {
    async fn deliver(
        &self,
        txn: &DatabaseTransaction,
        deliveries: &[Delivery],
    ) -> std::result::Result<(), DbErr> {
        for delivery in deliveries {
            let args = json!({ "jobId": delivery.job_id });
            let bytes = Self::envelope(delivery.worker.clone(), args, Vec::new())
                .map_err(|error| DbErr::Custom(error.to_string()))?;
            txn.execute_raw(statement(
                INSERT,
                [
                    Ulid::generate().to_string().into(),
                    delivery.queue.clone().into(),
                    bytes.into(),
                    MAX_ATTEMPTS.into(),
                    delivery.delay_ms.into(),
                    delivery.priority.into(),
                ],
            ))
            .await?;
            // The insert trigger announces due deliveries only.
            if let Ok(delay) = u64::try_from(delivery.delay_ms)
                && delay > 0
            {
                self.bells
                    .ring_in(delivery.queue.clone(), Duration::from_millis(delay));
            }
        }
        Ok(())
    }

    async fn live_deliveries(&self, queue: &str) -> std::result::Result<i64, DbErr> {
        #[derive(FromQueryResult)]
        struct Live {
            live: i64,
        }
        let db = sea_orm::SqlxPostgresConnector::from_sqlx_postgres_pool(self.pool.clone());
        // Fetched but unstarted deliveries of a live worker count; a dead worker's do not.
        let row = Live::find_by_statement(statement(
            "select count(*) as live from apalis.jobs j left join apalis.workers w on w.id = j.lock_by
             where j.job_type = $1 and (
                (j.status = 'Pending' and j.run_at <= now())
                or (j.status = 'Failed' and j.attempts < j.max_attempts and j.run_at <= now())
                or (j.status = 'Queued' and w.last_seen > now() - interval '6 seconds'))",
            [queue.into()],
        ))
        .one(&db)
        .await?;
        Ok(row.map_or(0, |row| row.live))
    }

    fn inside(&self) -> &dyn Carrier {
        self
    }

    async fn workers(&self) -> std::result::Result<Vec<WorkerBeat>, DbErr> {
        inspect::workers(&self.pool).await
    }

    async fn deliveries_for(
        &self,
        queue: &str,
        job_id: Uuid,
    ) -> std::result::Result<Vec<LiveDelivery>, DbErr> {
        inspect::deliveries_for(&self.pool, queue, job_id).await
    }

    async fn purge(&self, days: i32, batch: i64) -> std::result::Result<u64, DbErr> {
        let db = sea_orm::SqlxPostgresConnector::from_sqlx_postgres_pool(self.pool.clone());
        let done = db
            .execute_raw(statement(
                // By id, which begins with the time of sending, the index finds the old ones.
                "delete from apalis.jobs where id in (
                    select id from apalis.jobs
                    where id < $3 and (status in ('Done', 'Killed') or (status = 'Failed' and attempts >= max_attempts))
                      and done_at < now() - make_interval(days => $1) order by id limit $2)",
                [days.into(), batch.into(), first_id_since(days).into()],
            ))
            .await?;
        db.execute_raw(statement(
            "delete from apalis.workers w where w.last_seen < now() - interval '1 hour'
             and not exists (select 1 from apalis.jobs j where j.lock_by = w.id)",
            [],
        ))
        .await?;
        Ok(done.rows_affected())
    }
}

/// What sorts before the id of every delivery sent in the last `days`.
fn first_id_since(days: i32) -> String {
    let since_ms = TimeDelta::try_days(i64::from(days))
        .and_then(|age| Utc::now().checked_sub_signed(age))
        .and_then(|since| u64::try_from(since.timestamp_millis()).ok())
        .unwrap_or_default();
    Ulid::from_parts(since_ms, 0).to_string()
}

#[async_trait]
impl QueueProvider for ApalisQueue {
    async fn enqueue(
        &self,
        class: String,
        queue: Option<String>,
        args: Json,
        tags: Option<Vec<String>>,
        priority: Option<i32>,
    ) -> Result<Option<String>> {
        let id = Ulid::generate().to_string();
        let (queue, tags) = admin::queue_of(queue, tags.unwrap_or_default());
        let bytes = Self::envelope(class, args, tags)?;
        sqlx::query(INSERT)
            .bind(&id)
            .bind(queue)
            .bind(bytes)
            .bind(MAX_ATTEMPTS)
            .bind(0_i64)
            .bind(priority.unwrap_or(0))
            .execute(&self.pool)
            .await?;
        Ok(Some(id))
    }

    async fn enqueue_batch(
        &self,
        class: String,
        queue: Option<String>,
        jobs: Vec<(Json, Option<i32>)>,
        tags: Option<Vec<String>>,
    ) -> Result<Vec<String>> {
        let (queue, tags) = admin::queue_of(queue, tags.unwrap_or_default());
        let mut ids = Vec::with_capacity(jobs.len());
        let (mut bodies, mut priorities) = (Vec::new(), Vec::new());
        for (args, priority) in jobs {
            ids.push(Ulid::generate().to_string());
            bodies.push(Self::envelope(class.clone(), args, tags.clone())?);
            priorities.push(priority.unwrap_or(0));
        }
        // One statement: all of them or none.
        sqlx::query(
            "insert into apalis.jobs (id, job_type, job, status, attempts, max_attempts, run_at, priority)
             select id, $2, job, 'Pending', 0, $5, now(), priority
             from unnest($1::text[], $3::bytea[], $4::int[]) as batch (id, job, priority)",
        )
        .bind(&ids)
        .bind(queue)
        .bind(bodies)
        .bind(priorities)
        .bind(MAX_ATTEMPTS)
        .execute(&self.pool)
        .await?;
        Ok(ids)
    }

    async fn register_handler(&self, name: String, handler: JobHandler) -> Result<()> {
        self.handlers.register(name, handler);
        Ok(())
    }

    /// Works every configured queue, or those whose name begins with one of `tags`
    /// (`--worker=image,video`).
    async fn run(&self, tags: Vec<String>) -> Result<()> {
        let mut workers = tokio::task::JoinSet::new();
        for (queue, slots) in &self.concurrency {
            let is_wanted =
                tags.is_empty() || tags.iter().any(|tag| queue.starts_with(tag.as_str()));
            if is_wanted {
                workers.spawn(self.clone().work(queue.clone(), *slots));
            }
        }
        if workers.is_empty() {
            return Err(Error::string(
                "no queue matches the given tags; see settings.queue.concurrency for their names",
            ));
        }
        self.stop().cancelled().await;
        // Running steps finish or are handed back by the jobs room within the same time.
        let drained = tokio::time::timeout(self.shutdown, async {
            while workers.join_next().await.is_some() {}
        })
        .await;
        if drained.is_err() {
            tracing::warn!("running steps did not finish in time; others take them over");
        }
        Ok(())
    }

    async fn setup(&self) -> Result<()> {
        PostgresStorage::setup(&self.pool)
            .await
            .map_err(Error::wrap)
    }

    async fn clear(&self) -> Result<()> {
        admin::clear(&self.pool).await
    }

    async fn ping(&self) -> Result<()> {
        sqlx::query("select 1").execute(&self.pool).await?;
        Ok(())
    }

    async fn get_jobs(
        &self,
        status: Option<&Vec<JobStatus>>,
        age_days: Option<i64>,
    ) -> Result<Vec<Job>> {
        admin::get_jobs(&self.pool, status, age_days).await
    }

    async fn cancel_jobs_by_name(&self, name: &str) -> Result<()> {
        admin::cancel_by_name(&self.pool, name).await
    }

    async fn clear_by_status(&self, status: Vec<JobStatus>) -> Result<()> {
        admin::clear_where(&self.pool, Some(&status), None).await
    }

    async fn clear_jobs_older_than(
        &self,
        age_days: i64,
        status: Option<&Vec<JobStatus>>,
    ) -> Result<()> {
        admin::clear_where(&self.pool, status, Some(age_days)).await
    }

    async fn requeue(&self, age_minutes: &i64) -> Result<()> {
        admin::requeue(&self.pool, *age_minutes).await
    }

    async fn retry_failed(&self, id: Option<&str>) -> Result<u64> {
        admin::retry_failed(&self.pool, id).await
    }

    fn describe(&self) -> String {
        "apalis on Postgres".to_owned()
    }

    fn shutdown(&self) -> Result<()> {
        self.stop().cancel();
        Ok(())
    }
}
