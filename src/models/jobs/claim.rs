//! Taking a due job: fairly, fenced, and never two processes at once.

use chrono::{DateTime, FixedOffset};
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, QueryResult, RuntimeErr, prelude::Uuid};
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
    pub is_cancel_requested: bool,
    /// Its provider failed lately: a success has to be reported.
    pub is_provider_suspect: bool,
    /// Tasks that it may have upstream at the same time; 0 when its provider has no limits.
    pub places: i32,
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
            is_cancel_requested: row.try_get(prefix, "is_cancel_requested")?,
            is_provider_suspect: row.try_get(prefix, "is_provider_suspect")?,
            places: row.try_get(prefix, "places")?,
            was_pending: row.try_get(prefix, "was_pending")?,
            request_id: row.try_get(prefix, "request_id")?,
            correlation_id: row.try_get(prefix, "correlation_id")?,
        })
    }
}

/// What looking for work gave.
#[derive(Debug)]
pub enum Claim {
    Job(Box<Claimed>),
    /// Nothing is due, or what is due has to wait for a limit.
    Nothing,
    /// Another process took the last free place meanwhile; there may be other work.
    Raced,
}

/// A claim that a heartbeat kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    pub fence: Fence,
    /// Whether the owner wants the job cancelled.
    pub is_cancel_requested: bool,
}

/// Jobs that are running (waiting for upstream, or left by a dead worker) go first and need no free
/// place. Among waiting ones the turn decides: users are served in rounds. A job whose user or
/// provider is at a limit is passed over; one that only has to be ended (cancelled, or past its
/// deadline while its provider's breaker is open) needs no place. The rows of user and provider are
/// locked before they count, so limits hold however many claims race. A lease that ran out counts as
/// a rescue.
///
/// A job takes as many of its provider's places as it may have tasks upstream, or as are left; at
/// least one has to be. A batch that got fewer than it wants takes what is left whenever it goes on.
///
/// User and provider of a waiting job are looked up, not joined: a join is free to read and sort the
/// whole queue, and does so when its statistics are from a time when the queue was empty. The lock on
/// the job lets rows be written that refer to it, such as its deliveries.
const CLAIM: &str = concat!(
    "
with resumed as (
    select j.id, j.user_id, j.provider, false as starts, false as ends, j.places,
           case when j.places > 0 then job_width(j) else 0 end as width, 0 as tasks,
           j.lease_owner is not null as was_leased
    from jobs j
    where j.queue = $1 and j.status = 'PROCESSING' and j.next_run_at <= now()
    order by j.next_run_at
    limit 1
    for no key update skip locked
), fresh as (
    select j.id, j.user_id, j.provider, true as starts,
           j.cancel_requested_at is not null
               or coalesce(j.started_at is not null and j.deadline_at <= now() and (
                   select g.open_until > now() from provider_gates g where g.provider = j.provider), false) as ends,
           0 as places,
           case when (select g.max_running is not null or g.starts_per_minute is not null
                             or g.open_until is not null
                      from provider_gates g where g.provider = j.provider)
               then job_width(j) else 0 end as width,
           job_tasks(j) as tasks,
           false as was_leased
    from jobs j
    where not exists (select 1 from resumed)
      and j.queue = $1 and j.status = 'PENDING' and j.next_run_at <= now()
      and (((select s.running from event_sequences s where s.user_id = j.user_id) < $4
            and coalesce((select gate_is_open(g) from provider_gates g where g.provider = j.provider), true))
           or j.cancel_requested_at is not null
           or (j.started_at is not null and j.deadline_at <= now() and (
               select g.open_until > now() from provider_gates g where g.provider = j.provider)))
    order by j.priority desc, j.turn, j.created_at
    limit 1
    for no key update of j skip locked
), due as (
    select * from resumed union all select * from fresh
), lane as (
    update event_sequences s set
        last_seq = s.last_seq + 1, waiting = greatest(0, s.waiting - 1), running = s.running + 1
    from due
    where due.starts and s.user_id = due.user_id and (s.running < $4 or due.ends)
    returning s.user_id, s.last_seq
), free as (
    select g.provider, due.id as job_id, due.starts, due.tasks,
           least(due.width - due.places, greatest(0, g.max_running - g.running)) as places
    from due
    left join lane on lane.user_id = due.user_id
    join provider_gates g on g.provider = due.provider
    where due.width > due.places and not due.ends
      and case when due.starts then lane.user_id is not null and gate_is_open(g)
               else g.running < g.max_running end
    for no key update of g
), gate as (
    update provider_gates g set
        running = g.running + free.places,
        tokens = case when free.starts and g.starts_per_minute is not null
            then gate_tokens(g) - free.tasks else g.tokens end,
        refilled_at = case when free.starts then now() else g.refilled_at end,
        probe_until = case when free.starts and g.open_until is not null
            then now() + interval '1 minute' else g.probe_until end,
        probe_job = case when free.starts and g.open_until is not null then free.job_id else g.probe_job end
    from free
    where g.provider = free.provider
    returning free.places
), job as (
    update jobs j set
        status = 'PROCESSING',
        claim_no = j.claim_no + 1,
        rescues = j.rescues + (case when due.was_leased then 1 else 0 end),
        lease_owner = $2,
        next_run_at = clock_timestamp() + $3 * interval '1 millisecond',
        places = due.places + coalesce((select places from gate), 0),
        stage = case when due.starts and not due.ends then 'starting' else j.stage end,
        -- Waiting for a turn is not the job's fault: its time runs from the first claim.
        deadline_at = case when j.started_at is null and not due.ends
            then clock_timestamp() + (j.deadline_at - j.created_at) else j.deadline_at end,
        started_at = coalesce(j.started_at, clock_timestamp()),
        updated_at = clock_timestamp()
    from due
    where j.id = due.id
      and (not due.starts or exists (select 1 from lane))
      and (not due.starts or due.width = 0 or due.ends or exists (select 1 from gate))
    returning j.*
), ",
    event!(),
    "
select job.id is not null as is_claimed,
       case when job.id is null and exists (select 1 from lane) then claim_raced() end as raced,
       job.id, job.user_id, job.type::text as job_type, job.provider, job.model, job.prompt, job.input,
       job.warnings, job.cost, job.claim_no, job.tries, job.rescues, job.upstream_id, job.upstream,
       job.upstream_since, job.deadline_at <= clock_timestamp() as is_past_deadline,
       due.starts as was_pending, job.cancel_requested_at is not null as is_cancel_requested,
       coalesce(g.failures > 0 or g.poll_failures > 0 or g.open_until is not null, false) as is_provider_suspect,
       job.places, job.request_id, job.correlation_id
from due left join job on job.id = due.id left join provider_gates g on g.provider = due.provider"
);

#[derive(Debug, FromQueryResult)]
struct LeaseRow {
    id: Uuid,
    claim_no: i32,
    is_cancel_requested: bool,
}

#[derive(Debug, FromQueryResult)]
struct UpstreamRow {
    upstream_id: String,
    upstream: Json,
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
    ) -> Result<Claim, DbErr> {
        let row = db
            .query_one_raw(statement(
                CLAIM,
                [
                    queue.into(),
                    owner.into(),
                    limits.lease_ms.into(),
                    limits.max_running_per_user.into(),
                ],
            ))
            .await;
        match row {
            Ok(None) => Ok(Claim::Nothing),
            Ok(Some(row)) if row.try_get::<bool>("", "is_claimed")? => {
                Ok(Claim::Job(Box::new(Claimed::from_query_result(&row, "")?)))
            }
            Ok(Some(_)) => Ok(Claim::Raced),
            Err(error) if is_serialization_failure(&error) => Ok(Claim::Raced),
            Err(error) => Err(error),
        }
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
    ) -> Result<Vec<Kept>, DbErr> {
        let rows = LeaseRow::find_by_statement(statement(
            "update jobs set next_run_at = clock_timestamp() + $2 * interval '1 millisecond'
             where id = any ($3) and lease_owner = $1 and status = 'PROCESSING'
             returning id, claim_no, cancel_requested_at is not null as is_cancel_requested",
            [owner.into(), lease_ms.into(), jobs.into()],
        ))
        .all(db)
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| Kept {
                fence: Fence {
                    job_id: row.id,
                    claim_no: row.claim_no,
                },
                is_cancel_requested: row.is_cancel_requested,
            })
            .collect())
    }

    /// The upstream task of a job, as last stored.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn upstream_task(
        db: &impl ConnectionTrait,
        id: Uuid,
    ) -> Result<Option<(String, Json)>, DbErr> {
        let row = UpstreamRow::find_by_statement(statement(
            "select upstream_id, coalesce(upstream, '{}') as upstream from jobs
             where id = $1 and upstream_id is not null",
            [id.into()],
        ))
        .one(db)
        .await?;
        Ok(row.map(|row| (row.upstream_id, row.upstream)))
    }
}

/// Whether a statement was taken back because another one was faster (SQLSTATE 40001).
pub(super) fn is_serialization_failure(error: &DbErr) -> bool {
    let (DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error))) =
        error
    else {
        return false;
    };
    error
        .as_database_error()
        .is_some_and(|error| error.code().as_deref() == Some("40001"))
}
