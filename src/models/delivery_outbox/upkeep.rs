//! Clearing away what is done, and what operators ask of deliveries.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, prelude::Uuid};

use super::Entity;
use crate::models::statement;

/// A delivery as operators see it.
#[derive(Debug, Clone, FromQueryResult)]
pub struct Listed {
    pub id: i64,
    pub job_id: Uuid,
    pub worker: String,
    pub priority: i32,
    pub not_before: DateTime<Utc>,
    pub created_at: DateTime<Utc>,
    /// `open`, `sent`, `refused` or `taken`.
    pub state: String,
}

/// The state of a row, as [`Listed::state`] has it.
const STATE: &str = "case when taken_at is not null then 'taken'
    when sent_at is not null then 'sent'
    when last_error is not null then 'refused' else 'open' end";

impl Entity {
    /// Closes deliveries that nobody needs any more.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn close(db: &impl ConnectionTrait, ids: Vec<i64>) -> Result<(), DbErr> {
        db.execute_raw(statement(
            "update delivery_outbox set taken_at = clock_timestamp()
             where id = any ($1) and taken_at is null",
            [ids.into()],
        ))
        .await?;
        Ok(())
    }

    /// Deletes what was taken `days` ago, and what is left of jobs that were final then, at most `batch`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn purge(db: &impl ConnectionTrait, days: i32, batch: i64) -> Result<u64, DbErr> {
        let result = db
            .execute_raw(statement(
                "delete from delivery_outbox where id in (
                    select d.id from delivery_outbox d join jobs j on j.id = d.job_id
                    where d.taken_at < now() - make_interval(days => $1)
                       or j.completed_at < now() - make_interval(days => $1) limit $2)",
                [days.into(), batch.into()],
            ))
            .await?;
        Ok(result.rows_affected())
    }

    /// Deliveries in these states (all when `None`) made at least `age_days` ago.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list(
        db: &impl ConnectionTrait,
        states: Option<Vec<String>>,
        age_days: Option<i64>,
    ) -> Result<Vec<Listed>, DbErr> {
        let sql = format!(
            "select * from (
                select id, job_id, worker, priority, not_before, created_at, {STATE} as state
                from delivery_outbox) d
             where ($1::text[] is null or state = any ($1))
               and ($2::bigint is null or not_before < now() - $2 * interval '1 day')
             order by not_before, id"
        );
        Listed::find_by_statement(statement(&sql, [states.into(), age_days.into()]))
            .all(db)
            .await
    }

    /// Deletes deliveries by state and age. Jobs are not touched: a due one gets a new delivery.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remove(
        db: &impl ConnectionTrait,
        states: Option<Vec<String>>,
        age_days: Option<i64>,
    ) -> Result<(), DbErr> {
        let sql = format!(
            "delete from delivery_outbox
             where ($1::text[] is null or {STATE} = any ($1))
               and ($2::bigint is null or not_before < now() - $2 * interval '1 day')"
        );
        db.execute_raw(statement(&sql, [states.into(), age_days.into()]))
            .await?;
        Ok(())
    }

    /// Strikes off deliveries for a worker class that the carrier was not told about.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn strike_off(db: &impl ConnectionTrait, worker: &str) -> Result<(), DbErr> {
        db.execute_raw(statement(
            "update delivery_outbox set taken_at = clock_timestamp(), last_error = 'struck off'
             where worker = $1 and sent_at is null and taken_at is null",
            [worker.into()],
        ))
        .await?;
        Ok(())
    }

    /// Replaces deliveries that were sent at least `age_minutes` ago and never arrived.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn requeue(db: &impl ConnectionTrait, age_minutes: i64) -> Result<(), DbErr> {
        db.execute_raw(statement(
            "with lost as (
                update delivery_outbox set taken_at = clock_timestamp(), last_error = 'requeued'
                where sent_at < now() - $1 * interval '1 minute' and taken_at is null and not_before <= now()
                returning *
             )
             insert into delivery_outbox (job_id, user_id, claim_no, queue, worker, priority, takes_turn)
             select lost.job_id, j.user_id, j.claim_no, lost.queue, lost.worker, lost.priority,
                    j.status = 'PENDING'
             from lost join jobs j on j.id = lost.job_id
             where j.status in ('PENDING', 'PROCESSING')",
            [age_minutes.into()],
        ))
        .await?;
        Ok(())
    }

    /// Lets refused deliveries be sent again at once: this one, or all.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn retry_refused(db: &impl ConnectionTrait, id: Option<i64>) -> Result<u64, DbErr> {
        let result = db
            .execute_raw(statement(
                "update delivery_outbox set retry_at = now()
                 where sent_at is null and taken_at is null and last_error is not null
                   and ($1::bigint is null or id = $1)",
                [id.into()],
            ))
            .await?;
        Ok(result.rows_affected())
    }
}
