//! Items of batch jobs: one prompt, one picture, one fate each.
//!
//! Every change names the claim of its job, so a worker presumed dead changes no item, and takes the
//! job's row lock first, so changes of one batch follow each other.

mod outcome;

use chrono::{DateTime, FixedOffset};
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, QueryResult, Value, prelude::Uuid};
use serde_json::Value as Json;

pub use super::_entities::{job_items::*, sea_orm_active_enums::ItemStatus};
use super::{enum_of, enum_text, jobs::Fence, r2_files::NewFile, statement};
pub use outcome::{Tally, outcome, public_outcome};

/// An item as a worker reads it.
#[derive(Debug, Clone)]
pub struct Item {
    pub position: i32,
    pub prompt: String,
    pub status: ItemStatus,
    pub tries: i32,
    pub attempts: i32,
    pub upstream_id: Option<String>,
    pub upstream: Option<Json>,
    pub upstream_since: Option<DateTime<FixedOffset>>,
    /// Milliseconds until it may be taken up; 0 when it may be now, or is final.
    pub due_in_ms: i64,
    pub file_id: Option<Uuid>,
    pub object_key: Option<String>,
    pub mime_type: Option<String>,
    pub error: Option<String>,
    pub error_code: Option<String>,
}

impl Item {
    /// Whether nothing will change about it any more.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        match self.status {
            ItemStatus::Completed | ItemStatus::Failed => true,
            ItemStatus::Pending | ItemStatus::Submitted => false,
        }
    }
}

impl FromQueryResult for Item {
    fn from_query_result(row: &QueryResult, prefix: &str) -> Result<Self, DbErr> {
        let status: String = row.try_get(prefix, "item_status")?;
        Ok(Self {
            position: row.try_get(prefix, "position")?,
            prompt: row.try_get(prefix, "prompt")?,
            status: enum_of(&status)?,
            tries: row.try_get(prefix, "tries")?,
            attempts: row.try_get(prefix, "attempts")?,
            upstream_id: row.try_get(prefix, "upstream_id")?,
            upstream: row.try_get(prefix, "upstream")?,
            upstream_since: row.try_get(prefix, "upstream_since")?,
            due_in_ms: row.try_get(prefix, "due_in_ms")?,
            file_id: row.try_get(prefix, "file_id")?,
            object_key: row.try_get(prefix, "object_key")?,
            mime_type: row.try_get(prefix, "mime_type")?,
            error: row.try_get(prefix, "error")?,
            error_code: row.try_get(prefix, "error_code")?,
        })
    }
}

/// Why an item, or a batch, failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The sentence for the owner.
    pub error: String,
    pub code: String,
    /// Private; never shown to the owner.
    pub detail: String,
}

impl Fault {
    /// What is said of the items that a cancelled batch did not get to.
    #[must_use]
    pub fn cancelled() -> Self {
        Self {
            error: "The batch was cancelled. This picture is not charged.".to_owned(),
            code: "CANCELLED".to_owned(),
            detail: "cancelled by the owner".to_owned(),
        }
    }
}

/// One change of an open item. Made by the constructors named for the change.
#[derive(Debug, Clone)]
pub struct ItemChange {
    /// `None` keeps the status.
    to: Option<ItemStatus>,
    next_in_ms: Option<i64>,
    counts_as_try: bool,
    upstream: Option<(String, Json)>,
    file: Option<(Uuid, String, String)>,
    error: Option<String>,
    error_code: Option<String>,
    error_detail: Option<String>,
}

impl ItemChange {
    const fn new(to: Option<ItemStatus>) -> Self {
        Self {
            to,
            next_in_ms: None,
            counts_as_try: false,
            upstream: None,
            file: None,
            error: None,
            error_code: None,
            error_detail: None,
        }
    }

    /// The upstream provider took it and named it; it may be looked at in `next_in_ms`.
    #[must_use]
    pub fn submitted(id: &str, state: Json, next_in_ms: i64) -> Self {
        Self {
            next_in_ms: Some(next_in_ms),
            upstream: Some((id.to_owned(), state)),
            ..Self::new(Some(ItemStatus::Submitted))
        }
    }

    /// A try failed; the next one starts in `next_in_ms`. `counts` is false for waits that are not
    /// the item's fault, `forgets_task` makes the next try submit again.
    #[must_use]
    pub fn retry(next_in_ms: i64, counts: bool, forgets_task: bool, fault: &Fault) -> Self {
        let to = if forgets_task {
            Some(ItemStatus::Pending)
        } else {
            None
        };
        Self {
            next_in_ms: Some(next_in_ms),
            counts_as_try: counts,
            error_code: Some(fault.code.clone()),
            error_detail: Some(fault.detail.clone()),
            ..Self::new(to)
        }
    }

    /// Its picture is stored.
    #[must_use]
    pub fn complete(file: &NewFile) -> Self {
        let stored = (file.id, file.object_key.clone(), file.mime_type.clone());
        Self {
            file: Some(stored),
            ..Self::new(Some(ItemStatus::Completed))
        }
    }

    /// It failed for good.
    #[must_use]
    pub fn fail(fault: &Fault) -> Self {
        Self {
            error: Some(fault.error.clone()),
            error_code: Some(fault.code.clone()),
            error_detail: Some(fault.detail.clone()),
            ..Self::new(Some(ItemStatus::Failed))
        }
    }
}

#[derive(Debug, FromQueryResult)]
struct Changed {
    #[allow(dead_code)]
    position: i32,
}

/// The claim is checked under the row lock of the job, which a newer claim waits for or has taken.
const CHANGE: &str = "
with job as (
    select id from jobs
    where id = $1 and claim_no = $2 and lease_owner is not null and status = 'PROCESSING'
    for no key update
)
update job_items i set
    status = coalesce($4::item_status, i.status),
    tries = i.tries + $6,
    attempts = i.attempts + 1,
    upstream_id = case when $4 = 'SUBMITTED' then $7 when $4 = 'PENDING' then null else i.upstream_id end,
    upstream = case when $4 = 'SUBMITTED' then $8 when $4 = 'PENDING' then null else i.upstream end,
    upstream_since = case when $4 = 'SUBMITTED' then clock_timestamp() when $4 = 'PENDING' then null
        else i.upstream_since end,
    next_run_at = clock_timestamp() + $5::bigint * interval '1 millisecond',
    file_id = $9, object_key = $10, mime_type = $11,
    error = $12, error_code = $13, error_detail = $14,
    completed_at = case when $4 in ('COMPLETED', 'FAILED') then clock_timestamp() end,
    updated_at = clock_timestamp()
from job
where i.job_id = job.id and i.position = $3 and i.status in ('PENDING', 'SUBMITTED')
returning i.position";

const COLUMNS: &str = "position, prompt, status::text as item_status, tries, attempts, upstream_id, upstream,
    upstream_since, file_id, object_key, mime_type, error, error_code,
    coalesce(greatest(0, ceil(extract(epoch from next_run_at - clock_timestamp()) * 1000)), 0)::bigint
        as due_in_ms";

impl Entity {
    /// Adds the items of a new batch, in the order of its prompts.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn insert_all(
        db: &impl ConnectionTrait,
        job_id: Uuid,
        prompts: &[String],
    ) -> Result<(), DbErr> {
        db.execute_raw(statement(
            "insert into job_items (job_id, position, prompt)
             select $1, n - 1, prompt from unnest($2::text[]) with ordinality as given (prompt, n)",
            [job_id.into(), prompts.to_vec().into()],
        ))
        .await?;
        Ok(())
    }

    /// The items of a batch, in the order of its prompts.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn of_job(db: &impl ConnectionTrait, job_id: Uuid) -> Result<Vec<Item>, DbErr> {
        let sql = format!("select {COLUMNS} from job_items where job_id = $1 order by position");
        Item::find_by_statement(statement(&sql, [job_id.into()]))
            .all(db)
            .await
    }

    /// Applies a change for the holder of the job's claim; `false` when the claim is stale or the
    /// item final, and then nothing is written.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn change(
        db: &impl ConnectionTrait,
        fence: Fence,
        position: i32,
        change: &ItemChange,
    ) -> Result<bool, DbErr> {
        let (upstream_id, upstream) = change.upstream.clone().unzip();
        let (file_id, object_key, mime_type) = match change.file.clone() {
            Some((id, key, mime)) => (Some(id), Some(key), Some(mime)),
            None => (None, None, None),
        };
        let values: [Value; 14] = [
            fence.job_id.into(),
            fence.claim_no.into(),
            position.into(),
            change.to.as_ref().map(enum_text).into(),
            change.next_in_ms.into(),
            i32::from(change.counts_as_try).into(),
            upstream_id.into(),
            upstream.into(),
            file_id.into(),
            object_key.into(),
            mime_type.into(),
            change.error.clone().into(),
            change.error_code.clone().into(),
            change.error_detail.clone().into(),
        ];
        let row = Changed::find_by_statement(statement(CHANGE, values))
            .one(db)
            .await?;
        Ok(row.is_some())
    }

    /// Notes when items may be taken up or looked at next. The caller's transaction has changed
    /// their job before, which proves its claim.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn schedule(
        db: &impl ConnectionTrait,
        job_id: Uuid,
        due: &[(i32, i64)],
    ) -> Result<(), DbErr> {
        let (positions, delays): (Vec<i32>, Vec<i64>) = due.iter().copied().unzip();
        db.execute_raw(statement(
            "update job_items i set next_run_at = clock_timestamp() + due.delay * interval '1 millisecond'
             from unnest($2::int[], $3::bigint[]) as due (position, delay)
             where i.job_id = $1 and i.position = due.position and i.status in ('PENDING', 'SUBMITTED')",
            [job_id.into(), positions.into(), delays.into()],
        ))
        .await?;
        Ok(())
    }

    /// Fails every open item of a job that ends. The caller's transaction has changed the job before,
    /// which proves its claim.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn fail_open(
        db: &impl ConnectionTrait,
        job_id: Uuid,
        fault: &Fault,
    ) -> Result<(), DbErr> {
        db.execute_raw(statement(
            "update job_items set status = 'FAILED', next_run_at = null, completed_at = clock_timestamp(),
                    error = $2, error_code = $3, error_detail = $4, updated_at = clock_timestamp()
             where job_id = $1 and status in ('PENDING', 'SUBMITTED')",
            [
                job_id.into(),
                fault.error.clone().into(),
                fault.code.clone().into(),
                fault.detail.clone().into(),
            ],
        ))
        .await?;
        Ok(())
    }
}
