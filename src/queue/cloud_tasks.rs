//! Google Cloud Tasks as carrier of generation jobs, as a Loco queue provider.
//!
//! A delivery is a row of the outbox in the caller's transaction; the relay makes a task of it after
//! the commit, and the task comes back as `POST /api/jobs/process`. Everything that is not a
//! generation job rides the inner provider.

mod client;
mod credentials;
mod relay;

use std::sync::Arc;

use async_trait::async_trait;
use loco_rs::{
    Result,
    bgworker::{Job, JobHandler, JobStatus, QueueProvider},
};
use sea_orm::{DatabaseConnection, DatabaseTransaction, DbErr, prelude::Uuid};
use serde_json::{Value as Json, json};
use tokio::sync::Notify;

use super::{Carrier, Delivery, GENERATION_QUEUES, LiveDelivery, WorkerBeat, apalis::ApalisQueue};
use crate::models::delivery_outbox::{Entity, Listed, NewDelivery, id_of_task};

pub use client::{CallError, CloudTasksClient, Lookup, NewTask};
pub use credentials::{Credentials, CredentialsError};
pub use relay::Relay;

/// Cloud Tasks behind Loco's queue trait and our carrier trait.
#[derive(Clone)]
pub struct CloudTasksQueue {
    db: DatabaseConnection,
    inner: ApalisQueue,
    wake: Arc<Notify>,
}

impl CloudTasksQueue {
    /// A provider whose outbox is in `db`; `inner` carries everything else.
    #[must_use]
    pub fn new(db: DatabaseConnection, inner: ApalisQueue) -> Self {
        Self {
            db,
            inner,
            wake: Arc::new(Notify::new()),
        }
    }

    /// Notified when a transaction of this process may have filled the outbox, or a task came back.
    #[must_use]
    pub fn wake(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }
}

#[async_trait]
impl Carrier for CloudTasksQueue {
    async fn deliver(
        &self,
        txn: &DatabaseTransaction,
        deliveries: &[Delivery],
    ) -> std::result::Result<(), DbErr> {
        for delivery in deliveries {
            Entity::add(
                txn,
                &NewDelivery {
                    job_id: delivery.job_id,
                    queue: delivery.queue.clone(),
                    worker: delivery.worker.clone(),
                    priority: delivery.priority,
                    delay_ms: delivery.delay_ms,
                },
            )
            .await?;
        }
        Ok(())
    }

    async fn live_deliveries(&self, queue: &str) -> std::result::Result<i64, DbErr> {
        Entity::live(&self.db, queue).await
    }

    /// By job, not by number alone: rows that wait for their user's turn are no help to others.
    async fn undelivered(
        &self,
        queue: &str,
        due: Vec<Uuid>,
    ) -> std::result::Result<Vec<Uuid>, DbErr> {
        Entity::without_delivery(&self.db, queue, due).await
    }

    fn is_outside(&self) -> bool {
        true
    }

    fn inside(&self) -> &dyn Carrier {
        &self.inner
    }

    /// Workers of pushed jobs keep no list; these are the inner provider's.
    async fn workers(&self) -> std::result::Result<Vec<WorkerBeat>, DbErr> {
        self.inner.workers().await
    }

    async fn deliveries_for(
        &self,
        queue: &str,
        job_id: Uuid,
    ) -> std::result::Result<Vec<LiveDelivery>, DbErr> {
        let rows = Entity::unfinished_of(&self.db, queue, job_id).await?;
        Ok(rows
            .into_iter()
            .map(|row| LiveDelivery {
                id: row.id.to_string(),
                status: row.state,
                attempts: row.attempts,
                run_at: row.not_before.into(),
                worker: None,
            })
            .collect())
    }

    /// The outbox is purged whatever the carrier is; here only the inner provider's part.
    async fn purge(&self, days: i32, batch: i64) -> std::result::Result<u64, DbErr> {
        self.inner.purge(days, batch).await
    }

    fn committed(&self) {
        self.wake.notify_one();
    }

    async fn arrived(&self, job_id: Uuid, task: Option<&str>) -> std::result::Result<(), DbErr> {
        Entity::taken(&self.db, job_id, task.and_then(id_of_task)).await?;
        self.wake.notify_one();
        Ok(())
    }
}

/// The states of outbox rows that a Loco status means.
fn states(status: Option<&Vec<JobStatus>>) -> Option<Vec<String>> {
    status.map(|list| {
        list.iter()
            .flat_map(|status| match status {
                JobStatus::Queued => &["open", "sent"][..],
                JobStatus::Failed => &["refused"],
                JobStatus::Completed => &["taken"],
                _ => &[],
            })
            .map(|state| (*state).to_owned())
            .collect()
    })
}

fn job_of(row: Listed) -> Job {
    Job {
        id: row.id.to_string(),
        name: row.worker,
        data: json!({ "jobId": row.job_id }),
        status: match row.state.as_str() {
            "taken" => JobStatus::Completed,
            "refused" => JobStatus::Failed,
            _ => JobStatus::Queued,
        },
        run_at: row.not_before,
        interval: None,
        created_at: Some(row.created_at),
        updated_at: None,
        tags: None,
        priority: row.priority,
    }
}

/// The delivery that an enqueue means, when it is about a generation job.
fn generation(
    class: &str,
    queue: Option<&str>,
    args: &Json,
    priority: Option<i32>,
) -> Option<NewDelivery> {
    let queue = queue.filter(|queue| GENERATION_QUEUES.contains(queue))?;
    let job_id = Uuid::parse_str(args.get("jobId")?.as_str()?).ok()?;
    Some(NewDelivery {
        job_id,
        queue: queue.to_owned(),
        worker: class.to_owned(),
        priority: priority.unwrap_or(0),
        delay_ms: 0,
    })
}

#[async_trait]
impl QueueProvider for CloudTasksQueue {
    async fn enqueue(
        &self,
        class: String,
        queue: Option<String>,
        args: Json,
        tags: Option<Vec<String>>,
        priority: Option<i32>,
    ) -> Result<Option<String>> {
        let Some(delivery) = generation(&class, queue.as_deref(), &args, priority) else {
            return self.inner.enqueue(class, queue, args, tags, priority).await;
        };
        Entity::add(&self.db, &delivery).await?;
        self.wake.notify_one();
        Ok(Some(delivery.job_id.to_string()))
    }

    async fn enqueue_batch(
        &self,
        class: String,
        queue: Option<String>,
        jobs: Vec<(Json, Option<i32>)>,
        tags: Option<Vec<String>>,
    ) -> Result<Vec<String>> {
        let deliveries: Option<Vec<NewDelivery>> = jobs
            .iter()
            .map(|(args, priority)| generation(&class, queue.as_deref(), args, *priority))
            .collect();
        let Some(deliveries) = deliveries else {
            return self.inner.enqueue_batch(class, queue, jobs, tags).await;
        };
        let txn = crate::models::begin(&self.db).await?;
        for delivery in &deliveries {
            Entity::add(&txn, delivery).await?;
        }
        txn.commit().await?;
        self.wake.notify_one();
        Ok(deliveries
            .iter()
            .map(|delivery| delivery.job_id.to_string())
            .collect())
    }

    async fn register_handler(&self, name: String, handler: JobHandler) -> Result<()> {
        self.inner.register_handler(name, handler).await
    }

    /// Works the inner provider's queues. Its generation queues are among them, so that deliveries
    /// from before a change of the carrier are handed out too.
    async fn run(&self, tags: Vec<String>) -> Result<()> {
        self.inner.run(tags).await
    }

    async fn setup(&self) -> Result<()> {
        self.inner.setup().await
    }

    async fn clear(&self) -> Result<()> {
        Entity::remove(&self.db, None, None).await?;
        self.inner.clear().await
    }

    /// The database only: jobs are admitted while Cloud Tasks is away.
    async fn ping(&self) -> Result<()> {
        self.inner.ping().await
    }

    async fn get_jobs(
        &self,
        status: Option<&Vec<JobStatus>>,
        age_days: Option<i64>,
    ) -> Result<Vec<Job>> {
        let mut jobs = self.inner.get_jobs(status, age_days).await?;
        let rows = Entity::list(&self.db, states(status), age_days).await?;
        jobs.extend(rows.into_iter().map(job_of));
        Ok(jobs)
    }

    async fn cancel_jobs_by_name(&self, name: &str) -> Result<()> {
        Entity::strike_off(&self.db, name).await?;
        self.inner.cancel_jobs_by_name(name).await
    }

    async fn clear_by_status(&self, status: Vec<JobStatus>) -> Result<()> {
        Entity::remove(&self.db, states(Some(&status)), None).await?;
        self.inner.clear_by_status(status).await
    }

    async fn clear_jobs_older_than(
        &self,
        age_days: i64,
        status: Option<&Vec<JobStatus>>,
    ) -> Result<()> {
        Entity::remove(&self.db, states(status), Some(age_days)).await?;
        self.inner.clear_jobs_older_than(age_days, status).await
    }

    async fn requeue(&self, age_minutes: &i64) -> Result<()> {
        Entity::requeue(&self.db, *age_minutes).await?;
        self.wake.notify_one();
        self.inner.requeue(age_minutes).await
    }

    async fn retry_failed(&self, id: Option<&str>) -> Result<u64> {
        let row = id.and_then(|id| id.parse::<i64>().ok());
        let ours = if id.is_none() || row.is_some() {
            Entity::retry_refused(&self.db, row).await?
        } else {
            0
        };
        self.wake.notify_one();
        Ok(ours.saturating_add(self.inner.retry_failed(id).await?))
    }

    fn describe(&self) -> String {
        format!(
            "Cloud Tasks for generation jobs, {} for the rest",
            self.inner.describe()
        )
    }

    fn shutdown(&self) -> Result<()> {
        self.inner.shutdown()
    }
}
