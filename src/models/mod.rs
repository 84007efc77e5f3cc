//! One file per table: finders, rules about one row, state changes. A model knows no room, no HTTP
//! and no outside client.

pub mod _entities;
mod compound;

pub mod auth_flows;
pub mod auth_sessions;
pub mod delivery_outbox;
pub mod gathered;
pub mod idempotency_keys;
pub mod identities;
pub mod job_events;
pub mod job_items;
pub mod job_totals;
pub mod jobs;
pub mod local_accounts;
pub mod mails;
pub mod object_deletions;
pub mod one_time_tokens;
pub mod provider_faults;
pub mod provider_gates;
pub mod r2_files;
pub mod rate_limits;
pub mod scalars;
pub mod users;

pub(crate) use compound::{Compound, Step};

use chrono::{DateTime, FixedOffset, SecondsFormat, Utc};
use sea_orm::{
    ActiveEnum, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, Statement,
    TransactionTrait, Value, sea_query::value::Enum,
};

/// Begins a transaction in a task of its own.
///
/// A caller that is dropped while `BEGIN` is under way (a client that hangs up, a step that is cut)
/// would leave the pool a connection with an open transaction, in which later statements are never
/// committed: sqlx rolls back only what it knows to have begun. The task always comes to know.
///
/// # Errors
/// When the database fails.
pub async fn begin(db: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
    let db = db.clone();
    tokio::spawn(async move { db.begin().await })
        .await
        .map_err(|error| DbErr::Custom(error.to_string()))?
}

/// A time as every answer and event shows it: ISO 8601 in UTC with milliseconds (platform contract 1.8).
#[must_use]
pub fn timestamp(time: &DateTime<FixedOffset>) -> String {
    time.with_timezone(&Utc)
        .to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// The variant of a database enum that has this text.
pub(crate) fn enum_of<E: ActiveEnum<Value = Enum>>(text: &str) -> Result<E, DbErr> {
    E::iter()
        .find(|variant| variant.to_value().value == text)
        .ok_or_else(|| DbErr::Type(format!("{text} is no {}", E::name())))
}

/// The text of a variant of a database enum.
pub(crate) fn enum_text<E: ActiveEnum<Value = Enum>>(variant: &E) -> String {
    variant.to_value().value.into_owned()
}

/// A prepared statement with its values.
pub(crate) fn statement<I>(sql: &str, values: I) -> Statement
where
    I: IntoIterator<Item = Value>,
{
    Statement::from_sql_and_values(DbBackend::Postgres, sql, values)
}
