//! Mails that are still to be written and sent. A row commits with what causes the mail and goes when
//! it was sent, so that no mail is lost and none holds a link while it waits.

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, prelude::Uuid};
use serde_json::Value;

pub use super::_entities::mails::*;
use super::statement;

/// A mail that this caller may send now.
#[derive(Debug, Clone, FromQueryResult)]
pub struct Claimed {
    pub id: Uuid,
    pub kind: String,
    pub recipient: String,
    pub params: Value,
    pub tries: i32,
    /// Whether its time is over: it is not sent any more.
    pub is_late: bool,
}

#[derive(Debug, FromQueryResult)]
struct Due {
    id: Uuid,
}

impl Entity {
    /// Adds a mail; after `give_up_s` seconds it is not sent any more.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn add(
        db: &impl ConnectionTrait,
        kind: &str,
        recipient: &str,
        params: Value,
        give_up_s: i64,
    ) -> Result<Uuid, DbErr> {
        let id = Uuid::now_v7();
        db.execute_raw(statement(
            "insert into mails (id, kind, recipient, params, give_up_at)
             values ($1, $2, $3, $4, now() + $5 * interval '1 second')",
            [
                id.into(),
                kind.into(),
                recipient.into(),
                params.into(),
                give_up_s.into(),
            ],
        ))
        .await?;
        Ok(id)
    }

    /// Takes the mail that has waited longest; nobody else gets it for `lease_s` seconds.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn take_next(
        db: &impl ConnectionTrait,
        lease_s: i64,
    ) -> Result<Option<Claimed>, DbErr> {
        Claimed::find_by_statement(statement(
            "update mails set tries = tries + 1,
                    next_try_at = clock_timestamp() + $1 * interval '1 second'
             where id = (select id from mails where next_try_at <= clock_timestamp()
                         order by next_try_at limit 1 for update skip locked)
             returning id, kind, recipient, params, tries, give_up_at <= now() as is_late",
            [lease_s.into()],
        ))
        .one(db)
        .await
    }

    /// Removes a mail that was sent or is not wanted.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remove(db: &impl ConnectionTrait, id: Uuid) -> Result<(), DbErr> {
        db.execute_raw(statement("delete from mails where id = $1", [id.into()]))
            .await?;
        Ok(())
    }

    /// Has a mail wait for its next try.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn put_off(db: &impl ConnectionTrait, id: Uuid, delay_ms: i64) -> Result<(), DbErr> {
        db.execute_raw(statement(
            "update mails set next_try_at = clock_timestamp() + $2 * interval '1 millisecond'
             where id = $1",
            [id.into(), delay_ms.into()],
        ))
        .await?;
        Ok(())
    }

    /// Mails that could be sent now, at most `limit`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn due(db: &impl ConnectionTrait, limit: i64) -> Result<Vec<Uuid>, DbErr> {
        let rows = Due::find_by_statement(statement(
            "select id from mails where next_try_at <= clock_timestamp()
             order by next_try_at limit $1",
            [limit.into()],
        ))
        .all(db)
        .await?;
        Ok(rows.into_iter().map(|row| row.id).collect())
    }
}
