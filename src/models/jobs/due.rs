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

/// In the order of claims (`claim.rs`): what runs or has only to be ended first, then users in turn,
/// each with as many jobs as the running limit leaves, and of each provider as many as its gate lets
/// through.
const DUE: &str = "
with fresh as (
    select j.id, j.provider, j.priority, j.turn, j.created_at,
           s.running + row_number() over (
               partition by j.user_id order by j.priority desc, j.turn, j.created_at) as place,
           j.cancel_requested_at is not null
               or coalesce(j.started_at is not null and j.deadline_at <= now() and g.open_until > now(), false) as ends
    from jobs j
    join event_sequences s on s.user_id = j.user_id
    left join provider_gates g on g.provider = j.provider
    where j.queue = $1 and j.status = 'PENDING' and j.next_run_at <= now()
), passing as (
    select f.*, row_number() over (
        partition by f.provider order by f.priority desc, f.turn, f.created_at) as nth
    from fresh f where f.place <= $2 and not f.ends
), due as (
    select id, 0 as class, 0 as priority, 0::bigint as turn, next_run_at as since from jobs
    where queue = $1 and status = 'PROCESSING' and next_run_at <= now()
    union all
    select id, 0, 0, 0, created_at from fresh where ends
    union all
    select p.id, 1, p.priority, p.turn, p.created_at
    from passing p left join provider_gates g on g.provider = p.provider
    where g.provider is null or p.nth <= case
        when not gate_is_open(g) then 0
        when g.open_until is not null then 1
        else least(coalesce(g.max_running - g.running, p.nth),
                   coalesce(floor(gate_tokens(g))::bigint, p.nth)) end
)
select id from due order by class, priority desc, turn, since limit $3";

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
