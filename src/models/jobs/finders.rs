//! Reading jobs for their owner.

use std::collections::HashMap;

use chrono::{DateTime, FixedOffset};
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, prelude::Uuid};
use serde_json::Value as Json;

use super::{Entity, JobStatus, is_final};
use crate::models::{enum_of, statement};

/// A job as its owner sees it.
#[derive(Debug, Clone, FromQueryResult)]
pub struct JobView {
    pub id: Uuid,
    pub job_type: String,
    pub status: String,
    pub progress: i16,
    pub stage: Option<String>,
    pub provider: String,
    pub model: String,
    pub prompt: Option<String>,
    pub metadata: Json,
    pub warnings: Json,
    pub result: Option<Json>,
    pub result_key: Option<String>,
    pub error: Option<String>,
    pub error_code: Option<String>,
    pub created_at: DateTime<FixedOffset>,
    pub completed_at: Option<DateTime<FixedOffset>>,
}

impl JobView {
    /// Whether the job changes no more.
    #[must_use]
    pub fn is_final(&self) -> bool {
        enum_of::<JobStatus>(&self.status).is_ok_and(|status| is_final(&status))
    }
}

/// A job as somebody asks for it: it is found only when it is theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Owned {
    pub id: Uuid,
    pub user_id: Uuid,
}

/// One page of a user's jobs, newest first.
#[derive(Debug)]
pub struct JobPage {
    pub jobs: Vec<JobView>,
    pub has_next: bool,
}

const COLUMNS: &str =
    "id, type::text as job_type, status::text as status, progress, stage, provider, model,
    prompt, metadata, warnings, result, result_key, error, error_code, created_at, completed_at";

/// A row of a list: without the parts that only the view of one job shows.
const ROW_COLUMNS: &str =
    "id, type::text as job_type, status::text as status, progress, null::text as stage,
    provider, model, null::text as prompt, '{}'::jsonb as metadata, '[]'::jsonb as warnings,
    null::jsonb as result, result_key, error, error_code, created_at, completed_at";

impl Entity {
    /// A job of this user.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_for_user(
        db: &impl ConnectionTrait,
        id: Uuid,
        user_id: Uuid,
    ) -> Result<Option<JobView>, DbErr> {
        let sql = format!("select {COLUMNS} from jobs where id = $1 and user_id = $2");
        JobView::find_by_statement(statement(&sql, [id.into(), user_id.into()]))
            .one(db)
            .await
    }

    /// Those of these jobs that belong to the user named with each.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_for_users(
        db: &impl ConnectionTrait,
        wanted: Vec<Owned>,
    ) -> Result<HashMap<Owned, JobView>, DbErr> {
        // Lateral with a limit: one look by index for each job, however many the planner expects.
        let sql = format!(
            "select w.user_id, j.* from unnest($1::uuid[], $2::uuid[]) as w(id, user_id)
             cross join lateral (
                select {COLUMNS} from jobs where id = w.id and user_id = w.user_id limit 1
             ) j"
        );
        let (ids, users): (Vec<Uuid>, Vec<Uuid>) =
            wanted.iter().map(|job| (job.id, job.user_id)).unzip();
        let rows = db
            .query_all_raw(statement(&sql, [ids.into(), users.into()]))
            .await?;
        rows.iter()
            .map(|row| {
                let view = JobView::from_query_result(row, "")?;
                let user_id = row.try_get("", "user_id")?;
                Ok((
                    Owned {
                        id: view.id,
                        user_id,
                    },
                    view,
                ))
            })
            .collect()
    }

    /// A job, whoever owns it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_view(db: &impl ConnectionTrait, id: Uuid) -> Result<Option<JobView>, DbErr> {
        let sql = format!("select {COLUMNS} from jobs where id = $1");
        JobView::find_by_statement(statement(&sql, [id.into()]))
            .one(db)
            .await
    }

    /// The user's jobs after the job `cursor`, newest first. A cursor that is not one of the user's
    /// jobs gives an empty page.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn page_for_user(
        db: &impl ConnectionTrait,
        user_id: Uuid,
        cursor: Option<Uuid>,
        limit: u64,
    ) -> Result<JobPage, DbErr> {
        let sql = format!(
            "select {ROW_COLUMNS} from jobs where user_id = $1 and ($2::uuid is null or (created_at, id) < (
                select created_at, id from jobs where id = $2 and user_id = $1))
             order by created_at desc, id desc limit $3"
        );
        let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
        let mut jobs = JobView::find_by_statement(statement(
            &sql,
            [user_id.into(), cursor.into(), more.into()],
        ))
        .all(db)
        .await?;
        let has_next = jobs.len() > wanted;
        jobs.truncate(wanted);
        Ok(JobPage { jobs, has_next })
    }
}
