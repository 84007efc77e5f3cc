//! Idempotency keys: which POST a key was used for, and the answer that a repeat gets.
//!
//! The record is written in the transaction of the effect, so either both are there or neither is. A
//! request that works outside the database first puts a marker with a lease before its work, so that
//! a second one does not do the same work beside it; only the marker's owner may then write the answer.

use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, FromQueryResult, prelude::Uuid};

pub use super::_entities::idempotency_keys::*;
use super::statement;

/// A POST that carries an idempotency key.
#[derive(Debug, Clone)]
pub struct KeyedRequest {
    /// Whose key it is: two users may use the same text.
    pub user_id: Uuid,
    pub key: String,
    /// Method and path.
    pub route: String,
    /// SHA-256 of the body's bytes.
    pub body_hash: Vec<u8>,
    /// Hours the answer is replayed.
    pub keep_hours: u32,
    /// Milliseconds a marker holds without an answer.
    pub lease_ms: u64,
}

/// The answer of a request, to be stored with its effect.
#[derive(Debug, Clone)]
pub struct Record {
    pub request: KeyedRequest,
    /// The marker that the request put, if it put one.
    pub marker: Option<Uuid>,
    /// HTTP status, 200 to 299.
    pub status: i16,
    /// The body, byte for byte.
    pub response: String,
}

/// How a key stands towards a request that carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Never used, expired, or given back by a refused request.
    Free,
    /// The same request is under way.
    Running,
    /// The same request was answered so.
    Answered { status: i16, response: String },
    /// The key belongs to another route or body.
    OtherRequest,
}

#[derive(Debug, FromQueryResult)]
struct Row {
    is_same: bool,
    status: Option<i16>,
    response: Option<String>,
    is_held: bool,
}

#[derive(Debug, FromQueryResult)]
struct Written {
    #[allow(dead_code)]
    written: bool,
}

/// Nothing comes back when somebody else holds the key: its lock, its live marker or its answer. The
/// lock makes a second request give up at once instead of waiting for the first one's transaction.
const WRITE: &str = "
insert into idempotency_keys as k
    (user_id, key, route, body_hash, status, response, marker, locked_until, expires_at)
select $1, $2, $3, $4, $5, $6, $7, clock_timestamp() + $8 * interval '1 millisecond',
       now() + $9 * interval '1 hour'
where pg_try_advisory_xact_lock(hashtext($1::text), hashtext($2))
on conflict (user_id, key) do update set
    route = excluded.route, body_hash = excluded.body_hash, status = excluded.status,
    response = excluded.response, marker = excluded.marker, locked_until = excluded.locked_until,
    created_at = now(), expires_at = excluded.expires_at
where k.expires_at <= now()
   or (k.status is null and (k.marker = $10 or k.locked_until <= clock_timestamp()))
returning true as written";

impl Entity {
    /// Stores an answer in the transaction of its effect; `false` when the key is held by another
    /// request or has an answer, and then the transaction must be rolled back.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn record(txn: &impl ConnectionTrait, record: &Record) -> Result<bool, DbErr> {
        let request = &record.request;
        let row = Written::find_by_statement(statement(
            WRITE,
            [
                request.user_id.into(),
                request.key.clone().into(),
                request.route.clone().into(),
                request.body_hash.clone().into(),
                Some(record.status).into(),
                Some(record.response.clone()).into(),
                None::<Uuid>.into(),
                None::<i64>.into(),
                i64::from(request.keep_hours).into(),
                record.marker.into(),
            ],
        ))
        .one(txn)
        .await?;
        Ok(row.is_some())
    }

    /// Puts a marker before work outside the database; `None` when the key is held or has an answer.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn mark(
        db: &DatabaseConnection,
        request: &KeyedRequest,
    ) -> Result<Option<Marker>, DbErr> {
        let id = Uuid::new_v4();
        let row = Written::find_by_statement(statement(
            WRITE,
            [
                request.user_id.into(),
                request.key.clone().into(),
                request.route.clone().into(),
                request.body_hash.clone().into(),
                None::<i16>.into(),
                None::<String>.into(),
                Some(id).into(),
                Some(i64::try_from(request.lease_ms).unwrap_or(i64::MAX)).into(),
                i64::from(request.keep_hours).into(),
                None::<Uuid>.into(),
            ],
        ))
        .one(db)
        .await?;
        Ok(row.map(|_| Marker {
            db: Some(db.clone()),
            user_id: request.user_id,
            key: request.key.clone(),
            id,
        }))
    }

    /// How the key of a request stands.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn standing(
        db: &impl ConnectionTrait,
        request: &KeyedRequest,
    ) -> Result<Standing, DbErr> {
        let row = Row::find_by_statement(statement(
            "select route = $3 and body_hash = $4 as is_same, status, response,
                    coalesce(locked_until > clock_timestamp(), false) as is_held
             from idempotency_keys where user_id = $1 and key = $2 and expires_at > now()",
            [
                request.user_id.into(),
                request.key.clone().into(),
                request.route.clone().into(),
                request.body_hash.clone().into(),
            ],
        ))
        .one(db)
        .await?;
        Ok(match row {
            None => Standing::Free,
            Some(Row {
                status: None,
                is_held: false,
                ..
            }) => Standing::Free,
            Some(Row { is_same: false, .. }) => Standing::OtherRequest,
            Some(Row {
                status: Some(status),
                response: Some(response),
                ..
            }) => Standing::Answered { status, response },
            Some(_) => Standing::Running,
        })
    }

    /// Deletes keys that are replayed no more, at most `batch`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn purge(db: &impl ConnectionTrait, batch: i64) -> Result<u64, DbErr> {
        let result = db
            .execute_raw(statement(
                "delete from idempotency_keys where (user_id, key) in (
                    select user_id, key from idempotency_keys where expires_at <= now()
                    order by expires_at limit $1)",
                [batch.into()],
            ))
            .await?;
        Ok(result.rows_affected())
    }
}

/// A key held for work that is under way. When it is dropped without an answer (a client that hangs
/// up), the key is given back, so that the client's next try is not told to wait.
#[derive(Debug)]
pub struct Marker {
    db: Option<DatabaseConnection>,
    user_id: Uuid,
    key: String,
    id: Uuid,
}

impl Marker {
    /// What a record of the same request names.
    #[must_use]
    pub const fn id(&self) -> Uuid {
        self.id
    }

    /// The answer was written: there is nothing to give back.
    pub fn keep(mut self) {
        self.db = None;
    }

    /// Gives the key back after a refusal.
    ///
    /// # Errors
    /// When the database fails; the lease then runs out by itself.
    pub async fn release(mut self) -> Result<(), DbErr> {
        match self.db.take() {
            Some(db) => delete(&db, self.user_id, &self.key, self.id).await,
            None => Ok(()),
        }
    }
}

impl Drop for Marker {
    fn drop(&mut self) {
        let Some(db) = self.db.take() else { return };
        let (user_id, key, id) = (self.user_id, std::mem::take(&mut self.key), self.id);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = delete(&db, user_id, &key, id).await {
                    tracing::warn!(%error, "an idempotency key could not be given back yet");
                }
            });
        }
    }
}

/// Deletes a marker; an answer that was written in its place stays.
async fn delete(db: &DatabaseConnection, user_id: Uuid, key: &str, id: Uuid) -> Result<(), DbErr> {
    db.execute_raw(statement(
        "delete from idempotency_keys where user_id = $1 and key = $2 and marker = $3",
        [user_id.into(), key.into(), id.into()],
    ))
    .await?;
    Ok(())
}
