//! Buckets of the rate limits, shared by all processes (generic cell rate algorithm: one time per
//! bucket says when it would be empty again).

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};

pub use super::_entities::rate_limits::*;
use super::statement;

/// How a bucket stands after a take.
#[derive(Debug, Clone, Copy, FromQueryResult)]
pub struct Level {
    /// Whether there was room for one more.
    pub is_taken: bool,
    /// Seconds until the bucket is empty.
    pub empty_in_s: f64,
}

impl Entity {
    /// Takes one from a bucket that holds `burst` and gets one back every `every_s` seconds.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn take(
        db: &impl ConnectionTrait,
        key: &[u8],
        burst: u32,
        every_s: f64,
    ) -> Result<Level, DbErr> {
        let taken = Level::find_by_statement(statement(
            "insert into rate_limits as r (key, empty_at)
             values ($1, clock_timestamp() + $2 * interval '1 second')
             on conflict (key) do update
                set empty_at = greatest(r.empty_at, clock_timestamp()) + $2 * interval '1 second'
                where r.empty_at <= clock_timestamp() + ($3 - 1) * $2 * interval '1 second'
             returning true as is_taken,
                       extract(epoch from r.empty_at - clock_timestamp())::float8 as empty_in_s",
            [key.to_vec().into(), every_s.into(), f64::from(burst).into()],
        ))
        .one(db)
        .await?;
        if let Some(level) = taken {
            return Ok(level);
        }
        let full = Level::find_by_statement(statement(
            "select false as is_taken,
                    extract(epoch from empty_at - clock_timestamp())::float8 as empty_in_s
             from rate_limits where key = $1",
            [key.to_vec().into()],
        ))
        .one(db)
        .await?;
        // Purged between the two statements: it was full a moment ago.
        Ok(full.unwrap_or(Level {
            is_taken: false,
            empty_in_s: every_s * f64::from(burst),
        }))
    }

    /// Gives one back.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn give_back(
        db: &impl ConnectionTrait,
        key: &[u8],
        every_s: f64,
    ) -> Result<(), DbErr> {
        db.execute_raw(statement(
            "update rate_limits set empty_at = empty_at - $2 * interval '1 second' where key = $1",
            [key.to_vec().into(), every_s.into()],
        ))
        .await?;
        Ok(())
    }

    /// Marks a key for so many seconds.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn mark(db: &impl ConnectionTrait, key: &[u8], for_s: f64) -> Result<(), DbErr> {
        db.execute_raw(statement(
            "insert into rate_limits (key, empty_at) values ($1, now() + $2 * interval '1 second')
             on conflict (key) do update set empty_at = excluded.empty_at",
            [key.to_vec().into(), for_s.into()],
        ))
        .await?;
        Ok(())
    }

    /// Whether a key is marked.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn is_marked(db: &impl ConnectionTrait, key: &[u8]) -> Result<bool, DbErr> {
        let found = db
            .query_one_raw(statement(
                "select 1 from rate_limits where key = $1 and empty_at > now()",
                [key.to_vec().into()],
            ))
            .await?;
        Ok(found.is_some())
    }

    /// Deletes buckets that are empty, at most `batch`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn purge(db: &impl ConnectionTrait, batch: i64) -> Result<u64, DbErr> {
        let result = db
            .execute_raw(statement(
                "delete from rate_limits where key in (
                    select key from rate_limits where empty_at < now() limit $1
                    for update skip locked)",
                [batch.into()],
            ))
            .await?;
        Ok(result.rows_affected())
    }
}
