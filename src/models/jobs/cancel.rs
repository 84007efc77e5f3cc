//! The owner's wish to end a job: at once while nothing was begun, by its worker otherwise.

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, prelude::Uuid};

use super::{Entity, JobStatus};
use crate::models::{enum_of, statement};

/// What cancelling has to know of a job.
#[derive(Debug, Clone)]
pub struct Cancelling {
    pub status: JobStatus,
    pub queue: String,
    pub cost: i64,
    /// Whether something may exist that only a worker can end: an upstream task, finished items.
    pub is_begun: bool,
    /// Whether the wish was noted before.
    pub is_requested: bool,
    pub inputs_prefix: Option<String>,
}

#[derive(Debug, FromQueryResult)]
struct CancellingRow {
    status: String,
    queue: String,
    cost: i64,
    is_begun: bool,
    is_requested: bool,
    inputs_prefix: Option<String>,
}

#[derive(Debug, FromQueryResult)]
struct RequestedRow {
    is_leased: bool,
}

const CANCEL_WAITING: &str = concat!(
    "
with job as (
    update jobs set status = 'CANCELLED', stage = 'cancelled', next_run_at = null,
        cancel_requested_at = coalesce(cancel_requested_at, clock_timestamp()),
        completed_at = clock_timestamp(), updated_at = clock_timestamp()
    where id = $1 and user_id = $2 and status = 'PENDING'
    returning *
), lane as (
    update event_sequences s set last_seq = s.last_seq + 1, waiting = greatest(0, s.waiting - 1)
    from job where s.user_id = job.user_id
    returning s.user_id, s.last_seq
), ",
    event!(),
    "
select id from job"
);

const REQUEST: &str = concat!(
    "
with job as (
    update jobs set stage = 'cancelling', cancel_requested_at = clock_timestamp(),
        next_run_at = case when lease_owner is null then now() else next_run_at end,
        updated_at = clock_timestamp()
    where id = $1 and user_id = $2 and status in ('PENDING', 'PROCESSING')
      and cancel_requested_at is null
    returning *
), lane as (
    update event_sequences s set last_seq = s.last_seq + 1
    from job where s.user_id = job.user_id
    returning s.user_id, s.last_seq
), ",
    event!(),
    "
select lease_owner is not null as is_leased from job"
);

impl Entity {
    /// What cancelling has to know of a user's job.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_cancelling(
        db: &impl ConnectionTrait,
        id: Uuid,
        user_id: Uuid,
    ) -> Result<Option<Cancelling>, DbErr> {
        let row = CancellingRow::find_by_statement(statement(
            "select status::text as status, queue, cost,
                    upstream_id is not null or (claim_no > 0 and type = 'BATCH_GENERATION') as is_begun,
                    cancel_requested_at is not null as is_requested,
                    input ->> 'inputsPrefix' as inputs_prefix
             from jobs where id = $1 and user_id = $2",
            [id.into(), user_id.into()],
        ))
        .one(db)
        .await?;
        row.map(|row| {
            Ok(Cancelling {
                status: enum_of(&row.status)?,
                queue: row.queue,
                cost: row.cost,
                is_begun: row.is_begun,
                is_requested: row.is_requested,
                inputs_prefix: row.inputs_prefix,
            })
        })
        .transpose()
    }

    /// Cancels a job that waits; `false` when it does not wait any more, and then nothing is written.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn cancel_waiting(
        db: &impl ConnectionTrait,
        id: Uuid,
        user_id: Uuid,
    ) -> Result<bool, DbErr> {
        let result = db
            .execute_raw(statement(CANCEL_WAITING, [id.into(), user_id.into()]))
            .await?;
        Ok(result.rows_affected() == 1)
    }

    /// Notes on a begun job that its owner wants it cancelled and makes it due unless a worker has
    /// it. Gives whether one has, or `None` when the job is final or the wish was noted before.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn request_cancel(
        db: &impl ConnectionTrait,
        id: Uuid,
        user_id: Uuid,
    ) -> Result<Option<bool>, DbErr> {
        let row = RequestedRow::find_by_statement(statement(REQUEST, [id.into(), user_id.into()]))
            .one(db)
            .await?;
        Ok(row.map(|row| row.is_leased))
    }
}
