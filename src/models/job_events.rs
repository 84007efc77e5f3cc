//! The event log of a user's jobs, numbered per user in the order of commit.

use sea_orm::{ConnectionTrait, DbErr, prelude::Uuid};

pub use super::_entities::job_events::*;
use super::statement;

impl Entity {
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
