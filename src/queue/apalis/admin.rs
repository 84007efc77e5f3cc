//! What `cargo loco jobs` asks of the carrier.

use chrono::{DateTime, Utc};
use loco_rs::{
    Result,
    bgworker::{Job, JobStatus},
};
use sqlx::{PgPool, Row, postgres::PgRow};

use super::Envelope;

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
    Ok(Job {
        id: row.try_get("id")?,
        name: envelope.class,
        data: envelope.args,
        status: status_of(&status),
        run_at: row.try_get::<DateTime<Utc>, _>("run_at")?,
        interval: None,
        created_at: None,
        updated_at: None,
        tags: Some(envelope.tags),
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
        "select id, job, status, run_at, coalesce(priority, 0) as priority from apalis.jobs
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

/// Deletes deliveries by status and age.
pub async fn clear_where(
    pool: &PgPool,
    status: Option<&Vec<JobStatus>>,
    age_days: Option<i64>,
) -> Result<()> {
    sqlx::query(
        "delete from apalis.jobs where ($1::text[] is null or status = any ($1))
           and ($2::bigint is null or run_at < now() - $2 * interval '1 day')",
    )
    .bind(all_names(status))
    .bind(age_days)
    .execute(pool)
    .await?;
    Ok(())
}

/// Hands deliveries that were taken long ago out again.
pub async fn requeue(pool: &PgPool, age_minutes: i64) -> Result<()> {
    sqlx::query(
        "update apalis.jobs set status = 'Pending', lock_by = null, lock_at = null
         where status in ('Queued', 'Running') and lock_at < now() - $1 * interval '1 minute'",
    )
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
