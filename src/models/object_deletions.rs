//! Objects that have to go. Rows are written with the change that makes an object useless and worked
//! off later, so that a crash in between loses nothing.

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};

pub use super::_entities::object_deletions::*;
use super::{Step, statement};

/// One object or prefix to delete.
#[derive(Debug, Clone, FromQueryResult)]
pub struct Due {
    pub id: i64,
    pub object_key: String,
    pub is_prefix: bool,
}

/// Notes keys that begin so for deletion now, as a step of a larger statement that is done when `after`
/// has a row.
pub(crate) fn schedule_step(prefix: &str, after: &str) -> Step {
    let sql = format!(
        "deletion as (insert into object_deletions (object_key, is_prefix) select $1, true from {after})"
    );
    Step::new(sql, [prefix.into()])
}

impl Entity {
    /// Notes a key (or with `is_prefix` all keys that begin so) for deletion after `delay_ms`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn schedule(
        db: &impl ConnectionTrait,
        object_key: &str,
        is_prefix: bool,
        delay_ms: i64,
    ) -> Result<(), DbErr> {
        db.execute_raw(statement(
            "insert into object_deletions (object_key, is_prefix, not_before)
             values ($1, $2, now() + $3 * interval '1 millisecond')",
            [object_key.into(), is_prefix.into(), delay_ms.into()],
        ))
        .await?;
        Ok(())
    }

    /// Notes all keys that begin with one of these for deletion after `delay_ms`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn schedule_prefixes(
        db: &impl ConnectionTrait,
        prefixes: Vec<String>,
        delay_ms: i64,
    ) -> Result<(), DbErr> {
        db.execute_raw(statement(
            "insert into object_deletions (object_key, is_prefix, not_before)
             select prefix, true, now() + $2 * interval '1 millisecond' from unnest($1::text[]) as given (prefix)",
            [prefixes.into(), delay_ms.into()],
        ))
        .await?;
        Ok(())
    }

    /// What is due, oldest first; each is put off by a minute, so that a failing one waits and a
    /// second process finds others. Keys that a live file still uses are struck off instead; inputs of
    /// jobs that are not final stay.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn take_due(db: &impl ConnectionTrait, batch: i64) -> Result<Vec<Due>, DbErr> {
        db.execute_raw(statement(
            "delete from object_deletions d where not d.is_prefix and d.not_before <= now()
             and exists (select 1 from r2_files f where f.object_key = d.object_key and f.deleted_at is null)",
            [],
        ))
        .await?;
        Due::find_by_statement(statement(
            "update object_deletions set attempts = attempts + 1, not_before = now() + interval '1 minute'
             where id in (select id from object_deletions d where not_before <= now()
                          and not (is_prefix and exists (
                              select 1 from jobs j where j.status in ('PENDING', 'PROCESSING')
                              and j.input ->> 'inputsPrefix' = d.object_key))
                          order by not_before limit $1 for update skip locked)
             returning id, object_key, is_prefix",
            [batch.into()],
        ))
        .all(db)
        .await
    }

    /// Strikes off what was deleted.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn done(db: &impl ConnectionTrait, id: i64) -> Result<(), DbErr> {
        db.execute_raw(statement(
            "delete from object_deletions where id = $1",
            [id.into()],
        ))
        .await?;
        Ok(())
    }
}
