//! What the carrier's tables tell of workers and deliveries.

use sea_orm::{DbErr, FromQueryResult, SqlxPostgresConnector, prelude::Uuid};
use sqlx::PgPool;

use crate::{
    models::statement,
    queue::{LiveDelivery, WorkerBeat},
};

/// Workers listed at most; the dead ones go after an hour.
const MAX_WORKERS: i64 = 500;
/// Deliveries of one job listed at most.
const MAX_DELIVERIES: i64 = 20;

/// The workers of all processes, the queues in order, the newest first.
pub async fn workers(pool: &PgPool) -> Result<Vec<WorkerBeat>, DbErr> {
    let db = SqlxPostgresConnector::from_sqlx_postgres_pool(pool.clone());
    WorkerBeat::find_by_statement(statement(
        "select w.id as name, w.worker_type as queue, w.last_seen as last_seen_at,
                w.last_seen > now() - interval '6 seconds' as is_alive
         from apalis.workers w order by w.worker_type, w.last_seen desc limit $1",
        [MAX_WORKERS.into()],
    ))
    .all(&db)
    .await
}

/// Deliveries that were sent for a job and are not finished.
pub async fn deliveries_for(
    pool: &PgPool,
    queue: &str,
    job_id: Uuid,
) -> Result<Vec<LiveDelivery>, DbErr> {
    let db = SqlxPostgresConnector::from_sqlx_postgres_pool(pool.clone());
    LiveDelivery::find_by_statement(statement(
        "select id, status, attempts, run_at, lock_by as worker from apalis.jobs
         where job_type = $1 and (status in ('Pending', 'Queued', 'Running')
                or (status = 'Failed' and attempts < max_attempts))
           and position(convert_to($2, 'UTF8') in job) > 0
         order by run_at limit $3",
        [
            queue.into(),
            job_id.to_string().into(),
            MAX_DELIVERIES.into(),
        ],
    ))
    .all(&db)
    .await
}
