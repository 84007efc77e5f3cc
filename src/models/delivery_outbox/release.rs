//! Which deliveries the carrier is told about next, and what became of telling it.

use chrono::{DateTime, FixedOffset};
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, prelude::Uuid};

use super::{Entity, task_name};
use crate::models::statement;

/// What bounds a release.
#[derive(Debug, Clone)]
pub struct ReleaseLimits {
    /// Jobs of one user that run or have a task on its way; more of them wait here.
    pub in_flight_per_user: i64,
    /// Deliveries of one turn.
    pub batch: i64,
    /// Queues that are left out.
    pub except: Vec<String>,
}

/// A delivery as the carrier gets it.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub struct Release {
    pub id: i64,
    pub job_id: Uuid,
    pub claim_no: i32,
    pub queue: String,
    pub not_before: DateTime<FixedOffset>,
    pub attempts: i32,
    pub checks: i32,
    pub is_delayed: bool,
    /// Whether its job has ended already.
    pub is_final: bool,
}

impl Release {
    /// The name of its task within the queue.
    #[must_use]
    pub fn task_name(&self) -> String {
        task_name(self.job_id, self.claim_no, self.id)
    }
}

/// Priority first, then users in turn: the one with the fewest jobs in flight is next. Steps of running
/// jobs and waits for later are not held back; they use no new slot now. Only the rows at the head of each
/// user's line are read, however many wait.
const RELEASABLE: &str = "
with recursive users as (
    (select user_id from delivery_outbox
     where sent_at is null and taken_at is null and takes_turn order by user_id limit 1)
    union all
    select next.user_id from users cross join lateral (
        select d.user_id from delivery_outbox d
        where d.sent_at is null and d.taken_at is null and d.takes_turn and d.user_id > users.user_id
        order by d.user_id limit 1) next
), running as (
    select user_id, count(*) as n from jobs where status = 'PROCESSING' group by user_id
), released as (
    select d.user_id, count(distinct d.job_id) as n
    from delivery_outbox d join jobs j on j.id = d.job_id
    where d.sent_at is not null and d.taken_at is null and d.takes_turn and j.status = 'PENDING'
    group by d.user_id
), in_flight as (
    select users.user_id, coalesce(running.n, 0) + coalesce(released.n, 0) as n
    from users left join running using (user_id) left join released using (user_id)
), ready as (
    select id, job_id, claim_no, queue, priority, not_before, attempts, checks, 0 as turn
    from delivery_outbox
    where sent_at is null and taken_at is null and not takes_turn
      and retry_at <= now() and queue <> all ($3)
    union all
    select head.id, head.job_id, head.claim_no, head.queue, head.priority, head.not_before, head.attempts,
           head.checks, in_flight.n + row_number() over (partition by in_flight.user_id
                                                         order by head.priority desc, head.id)
    from in_flight cross join lateral (
        select * from delivery_outbox d
        where d.user_id = in_flight.user_id and d.sent_at is null and d.taken_at is null and d.takes_turn
          and d.retry_at <= now() and d.queue <> all ($3)
        order by d.priority desc, d.id limit greatest(0, $1 - in_flight.n)) head
)
select ready.id, job_id, ready.claim_no, ready.queue, not_before, attempts, checks,
       not_before > now() as is_delayed, j.status not in ('PENDING', 'PROCESSING') as is_final
from (select * from ready order by priority desc, turn, id limit $2) ready
join jobs j on j.id = ready.job_id
order by ready.priority desc, turn, ready.id";

impl Entity {
    /// The next deliveries to tell the carrier about, in their order.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn releasable(
        db: &impl ConnectionTrait,
        limits: &ReleaseLimits,
    ) -> Result<Vec<Release>, DbErr> {
        Release::find_by_statement(statement(
            RELEASABLE,
            [
                limits.in_flight_per_user.into(),
                limits.batch.into(),
                limits.except.clone().into(),
            ],
        ))
        .all(db)
        .await
    }

    /// Notes that the carrier has these; it is asked about them when they are overdue by `check_ms`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sent(
        db: &impl ConnectionTrait,
        ids: Vec<i64>,
        check_ms: i64,
    ) -> Result<(), DbErr> {
        db.execute_raw(statement(
            "update delivery_outbox set sent_at = clock_timestamp(), attempts = attempts + 1, last_error = null,
                    check_at = greatest(now(), not_before) + $2 * interval '1 millisecond'
             where id = any ($1)",
            [ids.into(), check_ms.into()],
        ))
        .await?;
        Ok(())
    }

    /// Notes that telling the carrier failed; it is told again after `retry_ms`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn refused(
        db: &impl ConnectionTrait,
        id: i64,
        error: &str,
        retry_ms: i64,
    ) -> Result<(), DbErr> {
        db.execute_raw(statement(
            "update delivery_outbox set attempts = attempts + 1, last_error = $2,
                    retry_at = now() + $3 * interval '1 millisecond'
             where id = $1",
            [id.into(), error.into(), retry_ms.into()],
        ))
        .await?;
        Ok(())
    }

    /// Sent deliveries that are overdue: nothing has arrived.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn overdue(db: &impl ConnectionTrait, batch: i64) -> Result<Vec<Release>, DbErr> {
        Release::find_by_statement(statement(
            "select d.id, d.job_id, d.claim_no, d.queue, d.not_before, d.attempts, d.checks,
                    false as is_delayed, false as is_final
             from delivery_outbox d
             where d.sent_at is not null and d.taken_at is null and d.check_at <= now()
             order by d.check_at limit $1",
            [batch.into()],
        ))
        .all(db)
        .await
    }

    /// Notes that the carrier still has it; it is asked again after `next_ms`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn found(db: &impl ConnectionTrait, id: i64, next_ms: i64) -> Result<(), DbErr> {
        db.execute_raw(statement(
            "update delivery_outbox set checks = checks + 1, check_at = now() + $2 * interval '1 millisecond'
             where id = $1",
            [id.into(), next_ms.into()],
        ))
        .await?;
        Ok(())
    }

    /// Replaces a delivery that will not come (in time) by a new one under another name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn replace(db: &impl ConnectionTrait, id: i64, reason: &str) -> Result<(), DbErr> {
        db.execute_raw(statement(
            "with lost as (
                update delivery_outbox set taken_at = clock_timestamp(), last_error = $2
                where id = $1 and taken_at is null returning *
             )
             insert into delivery_outbox (job_id, user_id, claim_no, queue, worker, priority, takes_turn)
             select lost.job_id, j.user_id, j.claim_no, lost.queue, lost.worker, lost.priority,
                    j.status = 'PENDING'
             from lost join jobs j on j.id = lost.job_id
             where j.status in ('PENDING', 'PROCESSING')",
            [id.into(), reason.into()],
        ))
        .await?;
        Ok(())
    }
}
