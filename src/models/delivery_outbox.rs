//! Deliveries for a carrier outside this database. A row is *open* until the carrier was told, then
//! *sent*, and *taken* once it arrived or became useless. Its id is never used again, so the name made
//! of it stands for one delivery for ever.

mod release;
mod upkeep;

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, prelude::Uuid};

pub use super::_entities::delivery_outbox::*;
use super::statement;
pub use release::{Release, ReleaseLimits};
pub use upkeep::Listed;

/// A delivery to write down.
#[derive(Debug, Clone)]
pub struct NewDelivery {
    pub job_id: Uuid,
    pub queue: String,
    /// Class of the worker that takes it.
    pub worker: String,
    pub priority: i32,
    pub delay_ms: i64,
}

/// What the name of a task tells: `<tail>-<job id>-<claim number>-<row id>`.
///
/// The carrier spreads names by their beginning and asks for no sequential ones; job ids begin with
/// a time, so their random end comes first.
#[must_use]
pub fn task_name(job_id: Uuid, claim_no: i32, id: i64) -> String {
    let simple = job_id.simple().to_string();
    let tail = simple.get(24..).unwrap_or_default();
    format!("{tail}-{job_id}-{claim_no}-{id}")
}

/// The row id in a task's name (or in its full resource name).
#[must_use]
pub fn id_of_task(name: &str) -> Option<i64> {
    name.rsplit_once('-').and_then(|(_, id)| id.parse().ok())
}

#[derive(Debug, FromQueryResult)]
struct JobRow {
    id: Uuid,
}

#[derive(Debug, FromQueryResult)]
struct Count {
    n: i64,
}

/// A delivery named for a job that is final already means that the job's slot became free: it is given
/// to the job of the same user that waits longest without one. A job whose current claim has a live
/// delivery for then gets no second one. A job that is to be cancelled starts nothing, so it waits for
/// nobody's turn, and a delivery that does is let go.
const ADD: &str = "
with hurried as (
    update delivery_outbox d set takes_turn = false
    from jobs j
    where j.id = $1 and j.cancel_requested_at is not null and d.job_id = j.id
      and d.takes_turn and d.sent_at is null and d.taken_at is null
)
insert into delivery_outbox (job_id, user_id, claim_no, queue, worker, priority, takes_turn, not_before)
select target.id, target.user_id, target.claim_no, $2, $3, greatest($4, target.priority),
       target.status = 'PENDING' and target.cancel_requested_at is null and $5 <= 0,
       now() + $5 * interval '1 millisecond'
from (
    select id, user_id, claim_no, priority, status, cancel_requested_at from jobs
    where id = $1 and status in ('PENDING', 'PROCESSING')
    union all
    (select held.id, held.user_id, held.claim_no, held.priority, held.status, held.cancel_requested_at
     from jobs ended join jobs held on held.user_id = ended.user_id
     where ended.id = $1 and ended.status not in ('PENDING', 'PROCESSING')
       and held.queue = $2 and held.status = 'PENDING' and held.next_run_at <= now()
       and not exists (select 1 from delivery_outbox d where d.job_id = held.id and d.taken_at is null)
     order by held.priority desc, held.created_at limit 1)
) target
where not exists (
    select 1 from delivery_outbox d
    where d.job_id = target.id and d.claim_no = target.claim_no and d.taken_at is null
      and d.not_before <= now() + $5 * interval '1 millisecond')";

impl Entity {
    /// Writes a delivery down, with the caller's transaction if it has one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn add(db: &impl ConnectionTrait, new: &NewDelivery) -> Result<(), DbErr> {
        db.execute_raw(statement(
            ADD,
            [
                new.job_id.into(),
                new.queue.clone().into(),
                new.worker.clone().into(),
                new.priority.into(),
                new.delay_ms.into(),
            ],
        ))
        .await?;
        Ok(())
    }

    /// Notes that a delivery of this job arrived: the one with this id, or, when the name did not
    /// come along, every one that was sent.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn taken(
        db: &impl ConnectionTrait,
        job_id: Uuid,
        id: Option<i64>,
    ) -> Result<(), DbErr> {
        db.execute_raw(statement(
            "update delivery_outbox set taken_at = clock_timestamp()
             where job_id = $1 and taken_at is null
               and (id = $2 or ($2::bigint is null and sent_at is not null))",
            [job_id.into(), id.into()],
        ))
        .await?;
        Ok(())
    }

    /// Those of these due jobs of a queue that no delivery will bring to a worker. A delivery that is
    /// on its way for a job that needs none (another one brought it) serves one of the others; one that
    /// waits here for its user's turn does not. One that has just arrived may be about to claim its job.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn without_delivery(
        db: &impl ConnectionTrait,
        queue: &str,
        jobs: Vec<Uuid>,
    ) -> Result<Vec<Uuid>, DbErr> {
        let rows = JobRow::find_by_statement(statement(
            "with missing as (
                select due.id, due.n from unnest($2::uuid[]) with ordinality due (id, n)
                where not exists (select 1 from delivery_outbox d
                                  where d.job_id = due.id
                                    and (d.taken_at is null and d.not_before <= now()
                                         or d.taken_at > now() - interval '1 second'))
             ), spare as (
                select count(*) as n from delivery_outbox d join jobs j on j.id = d.job_id
                where d.queue = $1 and d.taken_at is null and d.sent_at is not null and d.not_before <= now()
                  and (j.next_run_at is null or j.next_run_at > now())
             )
             select missing.id from missing order by missing.n
             limit greatest(0, (select count(*) from missing) - (select n from spare))",
            [queue.into(), jobs.into()],
        ))
        .all(db)
        .await?;
        Ok(rows.into_iter().map(|row| row.id).collect())
    }

    /// Deliveries of a queue that are due and on their way.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn live(db: &impl ConnectionTrait, queue: &str) -> Result<i64, DbErr> {
        let row = Count::find_by_statement(statement(
            "select count(*) as n from delivery_outbox
             where queue = $1 and taken_at is null and not_before <= now()",
            [queue.into()],
        ))
        .one(db)
        .await?;
        Ok(row.map_or(0, |row| row.n))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_begins_at_random_and_ends_with_the_row() {
        let job = Uuid::parse_str("0193a7e0-0000-7000-8000-00000a1b2c3d").unwrap();
        let name = task_name(job, 3, 41);
        assert_eq!(name, "0a1b2c3d-0193a7e0-0000-7000-8000-00000a1b2c3d-3-41");
        assert_eq!(id_of_task(&name), Some(41));
        assert_eq!(id_of_task("1234"), None);
        assert_eq!(id_of_task("a-b"), None);
    }
}
