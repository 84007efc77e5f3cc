//! Taking a due job: fairly, fenced, and never two processes at once.

use chrono::{DateTime, FixedOffset};
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, QueryResult, prelude::Uuid};
use serde_json::Value as Json;

use super::{Entity, Fence, JobType, job_type_of};
use crate::models::statement;

/// What bounds a claim.
#[derive(Debug, Clone, Copy)]
pub struct ClaimLimits {
    /// Milliseconds the lease holds without a heartbeat.
    pub lease_ms: i64,
    /// Jobs of one user that may run at the same time.
    pub max_running_per_user: i64,
}

/// A job that this process works on now.
#[derive(Debug, Clone)]
pub struct Claimed {
    pub id: Uuid,
    pub user_id: Uuid,
    pub job_type: JobType,
    pub provider: String,
    pub model: String,
    pub prompt: Option<String>,
    pub input: Json,
    pub warnings: Json,
    pub cost: i64,
    pub claim_no: i32,
    pub tries: i32,
    pub rescues: i32,
    pub upstream_id: Option<String>,
    pub upstream: Option<Json>,
    pub upstream_since: Option<DateTime<FixedOffset>>,
    pub is_past_deadline: bool,
    /// Whether it waited in the queue before: then the claim has an event.
    pub was_pending: bool,
    pub request_id: Option<String>,
    pub correlation_id: Option<String>,
}

impl Claimed {
    /// The fence of this claim.
    #[must_use]
    pub const fn fence(&self) -> Fence {
        Fence {
            job_id: self.id,
            claim_no: self.claim_no,
        }
    }
}

impl FromQueryResult for Claimed {
    fn from_query_result(row: &QueryResult, prefix: &str) -> Result<Self, DbErr> {
        let job_type: String = row.try_get(prefix, "job_type")?;
        Ok(Self {
            id: row.try_get(prefix, "id")?,
            user_id: row.try_get(prefix, "user_id")?,
            job_type: job_type_of(&job_type)?,
            provider: row.try_get(prefix, "provider")?,
            model: row.try_get(prefix, "model")?,
            prompt: row.try_get(prefix, "prompt")?,
            input: row.try_get(prefix, "input")?,
            warnings: row.try_get(prefix, "warnings")?,
            cost: row.try_get(prefix, "cost")?,
            claim_no: row.try_get(prefix, "claim_no")?,
            tries: row.try_get(prefix, "tries")?,
            rescues: row.try_get(prefix, "rescues")?,
            upstream_id: row.try_get(prefix, "upstream_id")?,
            upstream: row.try_get(prefix, "upstream")?,
            upstream_since: row.try_get(prefix, "upstream_since")?,
            is_past_deadline: row.try_get(prefix, "is_past_deadline")?,
            was_pending: row.try_get(prefix, "was_pending")?,
            request_id: row.try_get(prefix, "request_id")?,
            correlation_id: row.try_get(prefix, "correlation_id")?,
        })
    }
}

/// Jobs already running (waiting for upstream, or left by a dead worker) go first and need no free
/// slot; among waiting ones the user with the fewest running jobs is served first, then the oldest.
/// A lease that ran out counts as a rescue.
const CLAIM: &str = "
with running as materialized (
    select user_id, count(*) as n from jobs where status = 'PROCESSING' group by user_id
), due as (
    select j.id, j.status as old_status, j.lease_owner is not null as was_leased
    from jobs j left join running r on r.user_id = j.user_id
    where j.queue = $1 and j.status in ('PENDING', 'PROCESSING') and j.next_run_at <= now()
      and (j.status = 'PROCESSING' or coalesce(r.n, 0) < $4)
    order by j.priority desc, j.status desc, coalesce(r.n, 0), j.created_at
    limit 1
    for update of j skip locked
), job as (
    update jobs j set
        status = 'PROCESSING',
        claim_no = j.claim_no + 1,
        rescues = j.rescues + (case when due.was_leased then 1 else 0 end),
        lease_owner = $2,
        next_run_at = clock_timestamp() + $3 * interval '1 millisecond',
        stage = case when due.old_status = 'PENDING' then 'starting' else j.stage end,
        -- Waiting for a turn is not the job's fault: its time runs from the first claim.
        deadline_at = case when j.started_at is null
            then clock_timestamp() + (j.deadline_at - j.created_at) else j.deadline_at end,
        started_at = coalesce(j.started_at, clock_timestamp()),
        updated_at = clock_timestamp()
    from due where j.id = due.id
    returning j.*, due.old_status
), sequence as (
    update event_sequences s set last_seq = s.last_seq + 1
    from job where job.old_status = 'PENDING' and s.user_id = job.user_id returning s.last_seq
), event as (
    insert into job_events (user_id, seq, job_id, payload)
    select job.user_id, sequence.last_seq, job.id, jsonb_build_object(
        'jobId', job.id, 'type', job.type, 'status', job.status, 'progress', job.progress,
        'stage', job.stage, 'resultKey', job.result_key, 'error', job.error)
    from job, sequence
)
select id, user_id, type::text as job_type, provider, model, prompt, input, warnings, cost, claim_no,
       tries, rescues, upstream_id, upstream, upstream_since,
       deadline_at <= clock_timestamp() as is_past_deadline, old_status = 'PENDING' as was_pending,
       request_id, correlation_id
from job";

#[derive(Debug, FromQueryResult)]
struct LeaseRow {
    id: Uuid,
    claim_no: i32,
}

#[derive(Debug, FromQueryResult)]
struct MissingRow {
    missing: i64,
}

impl Entity {
    /// Claims the fairest due job of a queue for the process `owner`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn claim(
        db: &impl ConnectionTrait,
        queue: &str,
        owner: Uuid,
        limits: ClaimLimits,
    ) -> Result<Option<Claimed>, DbErr> {
        Claimed::find_by_statement(statement(
            CLAIM,
            [
                queue.into(),
                owner.into(),
                limits.lease_ms.into(),
                limits.max_running_per_user.into(),
            ],
        ))
        .one(db)
        .await
    }

    /// Renews the leases of these jobs as far as the process still has them; gives the claims it
    /// keeps. A job that the process no longer works on is left out, so its lease runs out.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn heartbeat(
        db: &impl ConnectionTrait,
        owner: Uuid,
        jobs: Vec<Uuid>,
        lease_ms: i64,
    ) -> Result<Vec<Fence>, DbErr> {
        let rows = LeaseRow::find_by_statement(statement(
            "update jobs set next_run_at = clock_timestamp() + $2 * interval '1 millisecond'
             where id = any ($3) and lease_owner = $1 and status = 'PROCESSING' returning id, claim_no",
            [owner.into(), lease_ms.into(), jobs.into()],
        ))
        .all(db)
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| Fence {
                job_id: row.id,
                claim_no: row.claim_no,
            })
            .collect())
    }

    /// How many more deliveries a queue needs so that every due job that may run now has one.
    /// `live_deliveries` is what the carrier still has to hand out.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn missing_deliveries(
        db: &impl ConnectionTrait,
        queue: &str,
        max_running_per_user: i64,
        live_deliveries: i64,
    ) -> Result<i64, DbErr> {
        let row = MissingRow::find_by_statement(statement(
            "with running as (
                select user_id, count(*) as n from jobs where status = 'PROCESSING' group by user_id
            ), due as (
                select user_id, status, count(*) as n from jobs
                where queue = $1 and status in ('PENDING', 'PROCESSING') and next_run_at <= now()
                group by user_id, status
            )
            select greatest(0, coalesce(sum(case
                when due.status = 'PROCESSING' then due.n
                else least(due.n, greatest(0, $2 - coalesce(running.n, 0))) end), 0) - $3)::bigint as missing
            from due left join running on running.user_id = due.user_id",
            [queue.into(), max_running_per_user.into(), live_deliveries.into()],
        ))
        .one(db)
        .await?;
        Ok(row.map_or(0, |row| row.missing))
    }

    /// Whether a job of this user and queue is due but was held back by the running limit.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn has_due_pending(
        db: &impl ConnectionTrait,
        user_id: Uuid,
        queue: &str,
        max_running_per_user: i64,
    ) -> Result<bool, DbErr> {
        let row = MissingRow::find_by_statement(statement(
            "select count(*) as missing from (
                select 1 from jobs where user_id = $1 and queue = $2 and status = 'PENDING' and next_run_at <= now()
                and (select count(*) from jobs where user_id = $1 and status = 'PROCESSING') >= $3 - 1
                limit 1) held_back",
            [user_id.into(), queue.into(), max_running_per_user.into()],
        ))
        .one(db)
        .await?;
        Ok(row.is_some_and(|row| row.missing > 0))
    }
}
