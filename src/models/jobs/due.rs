//! Which jobs wait for a delivery, and what a delivery's job is about.

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, prelude::Uuid};

use super::Entity;
use crate::models::statement;

#[derive(Debug, FromQueryResult)]
struct DueRow {
    id: Uuid,
}

/// The job that a delivery names.
#[derive(Debug, Clone, FromQueryResult)]
pub struct Named {
    pub queue: String,
    pub status: String,
    /// Milliseconds until it may be claimed; null when it is leased or final.
    pub due_in_ms: Option<i64>,
}

/// In the order of claims: what runs goes first, then users in turn, each with as many jobs as the
/// running limit leaves.
const DUE: &str = "
with running as (
    select user_id, count(*) as n from jobs where status = 'PROCESSING' group by user_id
), due as (
    select j.id, j.status, j.priority, j.created_at,
           coalesce(running.n, 0)
             + row_number() over (partition by j.user_id, j.status order by j.priority desc, j.created_at) as turn
    from jobs j left join running on running.user_id = j.user_id
    where j.queue = $1 and j.status in ('PENDING', 'PROCESSING') and j.next_run_at <= now()
)
select id from due where status = 'PROCESSING' or turn <= $2
order by priority desc, status desc, turn, created_at
limit $3";

impl Entity {
    /// Due jobs of a queue that may run now, at most `limit`, fairest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn due(
        db: &impl ConnectionTrait,
        queue: &str,
        max_running_per_user: i64,
        limit: i64,
    ) -> Result<Vec<Uuid>, DbErr> {
        let rows = DueRow::find_by_statement(statement(
            DUE,
            [queue.into(), max_running_per_user.into(), limit.into()],
        ))
        .all(db)
        .await?;
        Ok(rows.into_iter().map(|row| row.id).collect())
    }

    /// The job that a delivery names, whoever owns it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_named(db: &impl ConnectionTrait, id: Uuid) -> Result<Option<Named>, DbErr> {
        Named::find_by_statement(statement(
            "select queue, status::text as status,
                    case when lease_owner is null and next_run_at is not null
                         then ceil(extract(epoch from next_run_at - clock_timestamp()) * 1000)::bigint
                    end as due_in_ms
             from jobs where id = $1",
            [id.into()],
        ))
        .one(db)
        .await
    }
}
