//! The event log of a user's jobs, numbered per user in the order of commit.

use chrono::{DateTime, FixedOffset};
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, prelude::Uuid};
use serde_json::Value as Json;

pub use super::_entities::job_events::*;
use super::statement;

/// One event of the log.
#[derive(Debug, Clone, FromQueryResult)]
pub struct LoggedEvent {
    pub user_id: Uuid,
    /// Its number among the events of the user.
    pub seq: i64,
    pub job_id: Uuid,
    pub payload: Json,
    pub created_at: DateTime<FixedOffset>,
}

/// How far a reader is in the log of one user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    pub user_id: Uuid,
    pub seq: i64,
}

/// A job as it is now, in the form of an event that carries the user's newest number: changes with
/// a higher number come after it.
#[derive(Debug, Clone)]
pub struct JobNow {
    pub event: LoggedEvent,
    /// Number of the job's own newest event that is still kept.
    pub newest_of_job: Option<i64>,
}

/// Which part of one user's log is read.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    pub user_id: Uuid,
    /// The last event the reader has.
    pub after: i64,
    /// The last event it wants.
    pub up_to: i64,
    /// Only the events of this job.
    pub job_id: Option<Uuid>,
}

#[derive(Debug, FromQueryResult)]
struct SequenceRow {
    last_seq: i64,
}

#[derive(Debug, FromQueryResult)]
struct NewestRow {
    newest_of_job: Option<i64>,
}

impl Entity {
    /// The events behind each position, at most `page` for each user, in order.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn behind(
        db: &impl ConnectionTrait,
        positions: &[Position],
        page: i64,
    ) -> Result<Vec<LoggedEvent>, DbErr> {
        let users: Vec<Uuid> = positions.iter().map(|position| position.user_id).collect();
        let seqs: Vec<i64> = positions.iter().map(|position| position.seq).collect();
        LoggedEvent::find_by_statement(statement(
            "select e.* from unnest($1::uuid[], $2::bigint[]) as reader (user_id, seq)
             cross join lateral (
                select user_id, seq, job_id, payload, created_at from job_events
                where user_id = reader.user_id and seq > reader.seq order by seq limit $3) e
             order by e.user_id, e.seq",
            [users.into(), seqs.into(), page.into()],
        ))
        .all(db)
        .await
    }

    /// The first `page` events of a span, in order.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn within(
        db: &impl ConnectionTrait,
        span: Span,
        page: i64,
    ) -> Result<Vec<LoggedEvent>, DbErr> {
        LoggedEvent::find_by_statement(statement(
            "select user_id, seq, job_id, payload, created_at from job_events
             where user_id = $1 and seq > $2 and seq <= $3 and ($4::uuid is null or job_id = $4)
             order by seq limit $5",
            [
                span.user_id.into(),
                span.after.into(),
                span.up_to.into(),
                span.job_id.into(),
                page.into(),
            ],
        ))
        .all(db)
        .await
    }

    /// Number of the user's newest event; everything up to it can be read.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn last_seq(db: &impl ConnectionTrait, user_id: Uuid) -> Result<i64, DbErr> {
        let row = SequenceRow::find_by_statement(statement(
            "select last_seq from event_sequences where user_id = $1",
            [user_id.into()],
        ))
        .one(db)
        .await?;
        Ok(row.map_or(0, |row| row.last_seq))
    }

    /// A job of this user as it is now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn job_now(
        db: &impl ConnectionTrait,
        user_id: Uuid,
        job_id: Uuid,
    ) -> Result<Option<JobNow>, DbErr> {
        // One statement is one snapshot: state and number belong together.
        let row = db
            .query_one_raw(statement(
                "select j.user_id, s.last_seq as seq, j.id as job_id, j.updated_at as created_at,
                        coalesce(e.payload, '{}') || jsonb_build_object(
                            'jobId', j.id, 'type', j.type, 'status', j.status, 'progress', j.progress,
                            'stage', j.stage, 'resultKey', j.result_key, 'error', j.error) as payload,
                        e.seq as newest_of_job
                 from jobs j join event_sequences s on s.user_id = j.user_id
                 left join lateral (
                    select seq, payload from job_events where job_id = j.id order by seq desc limit 1) e on true
                 where j.id = $1 and j.user_id = $2",
                [job_id.into(), user_id.into()],
            ))
            .await?;
        row.map(|row| {
            Ok(JobNow {
                event: LoggedEvent::from_query_result(&row, "")?,
                newest_of_job: NewestRow::from_query_result(&row, "")?.newest_of_job,
            })
        })
        .transpose()
    }

    /// Opens the sequence of a new user.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn open_sequence(db: &impl ConnectionTrait, user_id: Uuid) -> Result<(), DbErr> {
        db.execute_raw(statement(
            "insert into event_sequences (user_id) values ($1) on conflict do nothing",
            [user_id.into()],
        ))
        .await?;
        Ok(())
    }

    /// Deletes events older than `days`, at most `batch`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn purge(db: &impl ConnectionTrait, days: i32, batch: i64) -> Result<u64, DbErr> {
        let result = db
            .execute_raw(statement(
                "delete from job_events where (user_id, seq) in (
                    select user_id, seq from job_events
                    where created_at < now() - make_interval(days => $1) limit $2)",
                [days.into(), batch.into()],
            ))
            .await?;
        Ok(result.rows_affected())
    }
}
