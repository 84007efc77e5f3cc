//! What `cargo loco jobs` asks of the carrier.

use chrono::{DateTime, Utc};
use loco_rs::{
    Result,
    bgworker::{Job, JobStatus},
};
use sqlx::{AssertSqlSafe, PgPool, Row, postgres::PgRow};

use super::Envelope;

/// Queue of workers that name none.
const DEFAULT_QUEUE: &str = "default";
/// Begins the tag that carries a delivery's queue through a dump: Loco's file has no other place for it.
const QUEUE_TAG: &str = "queue:";
/// Whether the worker of a taken delivery is gone. A live one sends heartbeats, and taking a delivery
/// from under it would make apalis end that worker.
const IS_ABANDONED: &str = "not exists (select 1 from apalis.workers w where w.id = j.lock_by
    and w.last_seen > now() - interval '6 seconds')";

/// The queue of something to enqueue: as named, or as the dump that it comes from says.
pub fn queue_of(queue: Option<String>, tags: Vec<String>) -> (String, Vec<String>) {
    let (dumped, tags): (Vec<String>, Vec<String>) =
        tags.into_iter().partition(|tag| tag.starts_with(QUEUE_TAG));
    let dumped = dumped
        .first()
        .and_then(|tag| tag.strip_prefix(QUEUE_TAG))
        .map(ToOwned::to_owned);
    let queue = queue.or(dumped).unwrap_or_else(|| DEFAULT_QUEUE.to_owned());
    (queue, tags)
}

/// apalis' names for a Loco status.
const fn names(status: &JobStatus) -> &'static [&'static str] {
    match status {
        JobStatus::Queued => &["Pending"],
        JobStatus::Processing => &["Queued", "Running"],
        JobStatus::Completed => &["Done"],
        JobStatus::Failed => &["Failed"],
        JobStatus::Cancelled => &["Killed"],
        _ => &[],
    }
}

fn all_names(status: Option<&Vec<JobStatus>>) -> Option<Vec<String>> {
    status.map(|list| {
        list.iter()
            .flat_map(|status| names(status).iter().map(|name| (*name).to_owned()))
            .collect()
    })
}

fn status_of(name: &str) -> JobStatus {
    match name {
        "Queued" | "Running" => JobStatus::Processing,
        "Done" => JobStatus::Completed,
        "Failed" => JobStatus::Failed,
        "Killed" => JobStatus::Cancelled,
        _ => JobStatus::Queued,
    }
}

fn job_of(row: &PgRow) -> Result<Job> {
    let bytes: Vec<u8> = row.try_get("job")?;
    let envelope: Envelope = serde_json::from_slice(&bytes)?;
    let status: String = row.try_get("status")?;
    let queue: String = row.try_get("job_type")?;
    let mut tags = envelope.tags;
    tags.push(format!("{QUEUE_TAG}{queue}"));
    Ok(Job {
        id: row.try_get("id")?,
        name: envelope.class,
        data: envelope.args,
        status: status_of(&status),
        run_at: row.try_get::<DateTime<Utc>, _>("run_at")?,
        interval: None,
        created_at: None,
        updated_at: None,
        tags: Some(tags),
        priority: row.try_get("priority")?,
    })
}

/// Lists deliveries.
pub async fn get_jobs(
    pool: &PgPool,
    status: Option<&Vec<JobStatus>>,
    age_days: Option<i64>,
) -> Result<Vec<Job>> {
    let rows = sqlx::query(
        "select id, job_type, job, status, run_at, coalesce(priority, 0) as priority from apalis.jobs
         where ($1::text[] is null or status = any ($1))
           and ($2::bigint is null or run_at < now() - $2 * interval '1 day')
         order by run_at",
    )
    .bind(all_names(status))
    .bind(age_days)
    .fetch_all(pool)
    .await?;
    rows.iter().map(job_of).collect()
}

/// Strikes off waiting deliveries of a worker class. The jobs themselves stay: a due one gets a new
/// delivery from the duty.
pub async fn cancel_by_name(pool: &PgPool, name: &str) -> Result<()> {
    sqlx::query(
        "update apalis.jobs set status = 'Killed', done_at = now()
         where status in ('Pending', 'Failed')
           and (convert_from(job, 'UTF8')::jsonb) ->> 'class' = $1",
    )
    .bind(name)
    .execute(pool)
    .await?;
    Ok(())
}

/// Deletes every delivery.
pub async fn clear(pool: &PgPool) -> Result<()> {
    sqlx::query("delete from apalis.jobs").execute(pool).await?;
    Ok(())
}

/// Deletes deliveries by status and age; what a live worker has taken stays.
pub async fn clear_where(
    pool: &PgPool,
    status: Option<&Vec<JobStatus>>,
    age_days: Option<i64>,
) -> Result<()> {
    sqlx::query(AssertSqlSafe(format!(
        "delete from apalis.jobs j where ($1::text[] is null or status = any ($1))
           and ($2::bigint is null or run_at < now() - $2 * interval '1 day')
           and (status not in ('Queued', 'Running') or {IS_ABANDONED})"
    )))
    .bind(all_names(status))
    .bind(age_days)
    .execute(pool)
    .await?;
    Ok(())
}

/// Hands deliveries that were taken long ago out again, unless their worker lives.
pub async fn requeue(pool: &PgPool, age_minutes: i64) -> Result<()> {
    sqlx::query(AssertSqlSafe(format!(
        "update apalis.jobs j set status = 'Pending', lock_by = null, lock_at = null
         where status in ('Queued', 'Running') and lock_at <= now() - $1 * interval '1 minute'
           and {IS_ABANDONED}"
    )))
    .bind(age_minutes)
    .execute(pool)
    .await?;
    Ok(())
}

/// Hands failed deliveries out again, with fresh attempts.
pub async fn retry_failed(pool: &PgPool, id: Option<&str>) -> Result<u64> {
    let result = sqlx::query(
        "update apalis.jobs set status = 'Pending', attempts = 0, run_at = now(), lock_by = null, lock_at = null
         where status = 'Failed' and ($1::text is null or id = $1)",
    )
    .bind(id)
    .execute(pool)
    .await?;
    Ok(result.rows_affected())
}
