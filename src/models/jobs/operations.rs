//! Jobs as operators see them: one job with everything about it, suspicious ones, and a nudge.

use chrono::{DateTime, FixedOffset};
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, prelude::Uuid};
use serde_json::Value as Json;

use super::{Entity, JobType, job_type_of};
use crate::models::statement;

/// What an operator needs to know of a job beside what its owner sees. Neither images nor what polling
/// needs are among it.
#[derive(Debug, Clone, FromQueryResult)]
pub struct Inspection {
    pub user_id: Uuid,
    pub queue: String,
    pub priority: i32,
    pub cost: i64,
    pub claim_no: i32,
    pub tries: i32,
    pub rescues: i32,
    pub lease_owner: Option<Uuid>,
    /// Whether a heartbeat of the owner is due and not missed.
    pub is_leased: bool,
    pub next_run_at: Option<DateTime<FixedOffset>>,
    pub deadline_at: DateTime<FixedOffset>,
    pub started_at: Option<DateTime<FixedOffset>>,
    pub updated_at: DateTime<FixedOffset>,
    pub upstream_id: Option<String>,
    pub upstream_since: Option<DateTime<FixedOffset>>,
    pub error_code: Option<String>,
    pub error_detail: Option<String>,
    pub request_id: Option<String>,
    pub correlation_id: Option<String>,
    pub hold_state: Option<String>,
    pub hold_amount: Option<i64>,
    pub hold_captured: Option<i64>,
    pub hold_expires_at: Option<DateTime<FixedOffset>>,
    pub hold_settled_at: Option<DateTime<FixedOffset>>,
    /// The newest events, oldest first: `seq`, `createdAt`, `payload`.
    pub events: Json,
}

/// Events that an inspection shows.
const SHOWN_EVENTS: i64 = 20;

const INSPECT: &str = r#"
select j.user_id, j.queue, j.priority, j.cost, j.claim_no, j.tries, j.rescues, j.lease_owner,
       j.lease_owner is not null and j.next_run_at > now() as is_leased, j.next_run_at, j.deadline_at,
       j.started_at, j.updated_at, j.upstream_id, j.upstream_since, j.error_code, j.error_detail,
       j.request_id, j.correlation_id,
       r.state as hold_state, r.amount as hold_amount, r.captured_amount as hold_captured,
       r.expires_at as hold_expires_at, r.settled_at as hold_settled_at,
       coalesce((select jsonb_agg(jsonb_build_object(
                    'seq', e.seq, 'payload', e.payload, 'createdAt',
                    to_char(e.created_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')) order by e.seq)
                 from (select seq, created_at, payload from job_events
                       where job_id = j.id order by seq desc limit $2) e), '[]') as events
from jobs j left join credit_reservations r on r.job_id = j.id and r.purpose = 'generation'
where j.id = $1"#;

/// What is wrong with a suspicious job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suspicion {
    /// It could run, but nobody has taken it for too long.
    Overdue,
    /// Its worker stopped renewing the lease and nobody has taken the job over.
    LeaseLapsed,
    /// It should have been given up.
    PastDeadline,
    /// Credits are held for a job that is final or not there.
    HoldWithoutJob,
}

impl Suspicion {
    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Overdue => "overdue",
            Self::LeaseLapsed => "lease lapsed",
            Self::PastDeadline => "past deadline",
            Self::HoldWithoutJob => "hold without job",
        }
    }
}

/// A suspicious job.
#[derive(Debug, Clone, FromQueryResult)]
pub struct Suspect {
    pub id: Uuid,
    pub queue: String,
    pub status: String,
    /// Seconds since it became suspicious.
    pub age_s: i64,
    pub claim_no: i32,
    pub tries: i32,
    pub rescues: i32,
}

/// How an operator's nudge ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Nudge {
    /// There is no such job.
    Unknown,
    /// It has ended, in this state; what is final stays final.
    Final(String),
    /// A worker holds it and sends heartbeats.
    InWork,
    /// It is due now.
    Due { job_type: JobType, user_id: Uuid },
}

#[derive(Debug, FromQueryResult)]
struct NudgeRow {
    status: String,
    job_type: String,
    user_id: Uuid,
    is_nudged: bool,
}

impl Entity {
    /// Everything about one job, whoever owns it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn inspect(db: &impl ConnectionTrait, id: Uuid) -> Result<Option<Inspection>, DbErr> {
        Inspection::find_by_statement(statement(INSPECT, [id.into(), SHOWN_EVENTS.into()]))
            .one(db)
            .await
    }

    /// Jobs of one kind of suspicion for at least `age_s` seconds, the oldest first, at most `limit`.
    /// Jobs that wait for their user's running limit of `max_running_per_user` are not overdue.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn suspects(
        db: &impl ConnectionTrait,
        suspicion: Suspicion,
        age_s: i64,
        max_running_per_user: i64,
        limit: i64,
    ) -> Result<Vec<Suspect>, DbErr> {
        let (since, from) = match suspicion {
            Suspicion::Overdue => (
                "j.next_run_at",
                "jobs j where j.status in ('PENDING', 'PROCESSING') and j.lease_owner is null
                 and (j.status = 'PROCESSING' or $2 > (
                    select count(*) from jobs o where o.user_id = j.user_id and o.status = 'PROCESSING'))",
            ),
            Suspicion::LeaseLapsed => (
                "j.next_run_at",
                "jobs j where j.status = 'PROCESSING' and j.lease_owner is not null and $2 > 0",
            ),
            Suspicion::PastDeadline => (
                "j.deadline_at",
                "jobs j where j.status in ('PENDING', 'PROCESSING') and j.started_at is not null
                 and $2 > 0",
            ),
            Suspicion::HoldWithoutJob => (
                "coalesce(j.completed_at, r.created_at)",
                "credit_reservations r left join jobs j on j.id = r.job_id
                 where r.state = 'held' and (j.id is null or j.completed_at is not null) and $2 > 0",
            ),
        };
        let id = match suspicion {
            Suspicion::HoldWithoutJob => "r.job_id",
            _ => "j.id",
        };
        let sql = format!(
            "select {id} as id, coalesce(j.queue, '') as queue, coalesce(j.status::text, '') as status,
                    extract(epoch from now() - {since})::bigint as age_s, coalesce(j.claim_no, 0) as claim_no,
                    coalesce(j.tries, 0) as tries, coalesce(j.rescues, 0) as rescues
             from {from} and {since} < now() - $1 * interval '1 second' order by {since} limit $3"
        );
        Suspect::find_by_statement(statement(
            &sql,
            [age_s.into(), max_running_per_user.into(), limit.into()],
        ))
        .all(db)
        .await
    }

    /// Makes a waiting job due now. A final job and one in work stay as they are.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn nudge(db: &impl ConnectionTrait, id: Uuid) -> Result<Nudge, DbErr> {
        let row = NudgeRow::find_by_statement(statement(
            "with nudged as (
                update jobs set next_run_at = least(next_run_at, now())
                where id = $1 and status in ('PENDING', 'PROCESSING')
                  and (lease_owner is null or next_run_at <= now())
                returning id
             )
             select j.status::text as status, j.type::text as job_type, j.user_id,
                    exists (select 1 from nudged) as is_nudged
             from jobs j where j.id = $1",
            [id.into()],
        ))
        .one(db)
        .await?;
        Ok(match row {
            None => Nudge::Unknown,
            Some(row) if row.is_nudged => Nudge::Due {
                job_type: job_type_of(&row.job_type)?,
                user_id: row.user_id,
            },
            Some(row) if matches!(row.status.as_str(), "PENDING" | "PROCESSING") => Nudge::InWork,
            Some(row) => Nudge::Final(row.status),
        })
    }
}
