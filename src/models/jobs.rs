//! Generation jobs: the row is the truth, deliveries only say that there is work.
//!
//! A worker changes a job through [`Entity::transition`], which knows the allowed edges, refuses a
//! stale claim, and appends the event in the same statement. Only claims (`claim.rs`) and the owner's
//! wish to cancel (`cancel.rs`) change one otherwise, by the same rules.

/// Appends the event of the change in the CTE `job`, numbered by the CTE `lane`. Watchers of a batch
/// see how each item stands.
macro_rules! event {
    () => {
        "event as (
    insert into job_events (user_id, seq, job_id, payload)
    select job.user_id, lane.last_seq, job.id, jsonb_build_object(
        'jobId', job.id, 'type', job.type, 'status', job.status, 'progress', job.progress,
        'stage', job.stage, 'resultKey', job.result_key, 'error', job.error)
        || case when job.type = 'BATCH_GENERATION' and job.result is not null
            then jsonb_build_object('result', job.result - 'files') else '{}' end
    from job join lane on lane.user_id = job.user_id
)"
    };
}

mod batch;
mod cancel;
mod change;
mod claim;
mod due;
mod finders;
mod operations;
mod transition;

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, FromQueryResult, prelude::Uuid};
use serde_json::Value as Json;

pub use super::_entities::{
    jobs::*,
    sea_orm_active_enums::{JobStatus, JobType},
};
use super::{enum_of, enum_text, statement};
pub use cancel::Cancelling;
pub use change::Change;
pub use claim::{Claim, ClaimLimits, Claimed, Kept};
pub use due::Named;
pub use finders::{JobPage, JobView, Owned};
pub use operations::{Inspection, Nudge, Suspect, Suspicion};
pub use transition::{Changed, Payment, Yield};

/// The states from which a job may enter `to`. `PROCESSING → PROCESSING` is a step of running work,
/// `PROCESSING → PENDING` a retry after a failure.
#[must_use]
pub const fn allowed_from(to: &JobStatus) -> &'static [JobStatus] {
    match to {
        JobStatus::Pending | JobStatus::Completed => &[JobStatus::Processing],
        JobStatus::Processing | JobStatus::Failed | JobStatus::Cancelled => {
            &[JobStatus::Pending, JobStatus::Processing]
        }
    }
}

/// The job type of its text.
///
/// # Errors
/// When there is no such type.
pub fn job_type_of(text: &str) -> Result<JobType, DbErr> {
    enum_of(text)
}

/// Whether a state is final.
#[must_use]
pub const fn is_final(status: &JobStatus) -> bool {
    match status {
        JobStatus::Completed | JobStatus::Failed | JobStatus::Cancelled => true,
        JobStatus::Pending | JobStatus::Processing => false,
    }
}

/// A job as admitted. The delivery is the carrier's business.
#[derive(Debug, Clone)]
pub struct NewJob {
    pub id: Uuid,
    pub user_id: Uuid,
    pub r#type: JobType,
    pub queue: String,
    pub provider: String,
    pub model: String,
    pub prompt: Option<String>,
    /// The items of a batch; empty for every other type.
    pub prompts: Vec<String>,
    pub input: Json,
    pub metadata: Json,
    pub warnings: Json,
    /// Credits held for it.
    pub cost: i64,
    pub deadline_ms: i64,
    pub request_id: Option<String>,
    pub correlation_id: Option<String>,
}

/// Which claim of which job a worker acts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fence {
    pub job_id: Uuid,
    pub claim_no: i32,
}

/// A due job that may run now, and its queue.
#[derive(Debug, Clone, FromQueryResult)]
pub struct Follower {
    pub queue: String,
    pub id: Uuid,
}

impl Entity {
    /// Inserts an admitted job with its first event, unless the user has `max_queued` waiting jobs;
    /// tells whether it did.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn insert_within_limit(
        db: &impl ConnectionTrait,
        job: &NewJob,
        max_queued: i64,
    ) -> Result<bool, DbErr> {
        let result = db
            .execute_raw(statement(
                INSERT,
                [
                    job.id.into(),
                    job.user_id.into(),
                    enum_text(&job.r#type).into(),
                    job.queue.clone().into(),
                    job.provider.clone().into(),
                    job.model.clone().into(),
                    job.prompt.clone().into(),
                    job.input.clone().into(),
                    job.metadata.clone().into(),
                    job.warnings.clone().into(),
                    job.cost.into(),
                    job.deadline_ms.into(),
                    job.request_id.clone().into(),
                    job.correlation_id.clone().into(),
                    max_queued.into(),
                ],
            ))
            .await?;
        Ok(result.rows_affected() == 1)
    }

    /// Waits until no other transaction is changing jobs of this user, at most `limit_ms`. To be called in
    /// a transaction: what it reads afterwards has what they changed.
    ///
    /// # Errors
    /// When the database fails, or they do not end in time.
    pub async fn await_changes_of(
        txn: &DatabaseTransaction,
        user_id: Uuid,
        limit_ms: u32,
    ) -> Result<(), DbErr> {
        txn.execute_unprepared(&format!("set local lock_timeout = {limit_ms}"))
            .await?;
        txn.execute_raw(statement(
            "select 1 from event_sequences where user_id = $1 for no key update",
            [user_id.into()],
        ))
        .await?;
        Ok(())
    }

    /// The first due jobs of each of these queues that may run now because of what was freed. Each
    /// queue is one look at an index, however many jobs wait.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn followers(
        db: &impl ConnectionTrait,
        changed: Changed,
        user_id: Uuid,
        provider: &str,
        queues: &[&str],
    ) -> Result<Vec<Follower>, DbErr> {
        if !changed.frees_user && changed.frees_provider <= 0 {
            return Ok(Vec::new());
        }
        let queues: Vec<String> = queues.iter().map(|queue| (*queue).to_owned()).collect();
        Follower::find_by_statement(statement(
            FOLLOWERS,
            [
                changed.frees_user.into(),
                changed.frees_provider.into(),
                user_id.into(),
                provider.into(),
                queues.into(),
            ],
        ))
        .all(db)
        .await
    }
}

const FOLLOWERS: &str = "
select q.queue, f.id
from unnest($5::text[]) as q (queue)
cross join lateral (
    (select j.id from jobs j
     where $1 and j.user_id = $3 and j.queue = q.queue and j.status = 'PENDING' and j.next_run_at <= now()
     order by j.turn limit 1)
    union
    (select j.id from jobs j
     where $2 > 0 and j.provider = $4 and j.queue = q.queue and j.status = 'PENDING' and j.next_run_at <= now()
     order by j.priority desc, j.turn, j.created_at limit $2)
) f";

/// The turn follows the user's last waiting job of the queue and the queue's next one: see the column.
const INSERT: &str = concat!(
    "
with place as (
    select greatest(
        (select max(turn) from jobs where user_id = $2 and queue = $4 and status = 'PENDING'),
        (select turn from jobs where queue = $4 and status = 'PENDING'
         order by priority desc, turn, created_at limit 1)) as turn
), lane as (
    update event_sequences s set last_seq = s.last_seq + 1, waiting = s.waiting + 1
    where s.user_id = $2 and s.waiting < $15
    returning s.user_id, s.last_seq
), job as (
    insert into jobs (id, user_id, type, queue, provider, model, prompt, input, metadata,
                      warnings, cost, deadline_at, request_id, correlation_id, stage, turn)
    select $1, $2, $3::job_type, $4, $5, $6, $7, $8, $9, $10, $11,
           now() + $12 * interval '1 millisecond', $13, $14, 'queued', coalesce(place.turn, 0) + 1
    from lane, place
    returning *
), ",
    event!(),
    "
select id from job"
);
