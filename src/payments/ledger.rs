//! The double-entry credit ledger (payments contract 11): accounts, holds, captures, releases.
//!
//! Every posting is one statement inside the caller's transaction: it locks the user's accounts in
//! the order available, held, debt, inserts the transaction with its entries and writes the balances.
//! Unique keys on transactions and reservations make each posting happen once.
//!
//! A job's open reservation is found by `settled_at is null`, which a check equates with the state
//! `held`: by that state, a plan may walk the index of all open reservations instead of the job's key.

pub mod invariants;

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, FromQueryResult, prelude::Uuid};
use serde_json::Value;

use crate::models::{Compound, Step, jobs::Payment, statement};

/// What can go wrong while credits move.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error("insufficient credits: {required} needed, {available} available")]
    Insufficient { required: i64, available: i64 },
    #[error("the user has no credit accounts")]
    UnknownUser,
    /// The reservation was settled before, or there is none.
    #[error("no open reservation for job {0}")]
    NothingHeld(Uuid),
    #[error(transparent)]
    Database(#[from] DbErr),
}

#[derive(Debug, FromQueryResult)]
struct HoldRow {
    held: Option<i64>,
}

#[derive(Debug, FromQueryResult)]
struct SettledRow {
    amount: i64,
}

/// What a capture writes beside the entries: the usage event of the finished job.
#[derive(Debug, Clone)]
pub struct Usage<'a> {
    pub provider: &'a str,
    pub model: &'a str,
    pub prompt: Option<&'a str>,
    pub metadata: Value,
}

/// Opens the accounts of a new user and posts the welcome grant, in credits.
///
/// # Errors
/// When the database fails, or the user has accounts already.
pub async fn open_accounts(
    txn: &DatabaseTransaction,
    user_id: Uuid,
    welcome: i64,
) -> Result<(), DbErr> {
    txn.execute_raw(statement(
        "with opened as (
            insert into credit_accounts (user_id, kind, balance)
            values ($1, 'available', $2), ($1, 'held', 0), ($1, 'debt', 0)
            returning id, kind, balance
        ), posting as (
            insert into credit_transactions (id, kind, source_type, source_id, user_id)
            select $3, 'welcome', 'user', $1::text, $1 where $2 > 0 returning id
        )
        insert into credit_entries (transaction_id, account_id, amount, balance_after)
        select posting.id, opened.id, $2, opened.balance from posting, opened where opened.kind = 'available'
        union all
        select posting.id, s.id, -$2, null from posting, credit_accounts s
        where s.user_id is null and s.kind = 'welcome'",
        [user_id.into(), welcome.into(), Uuid::now_v7().into()],
    ))
    .await?;
    Ok(())
}

/// A hold to place.
#[derive(Debug, Clone, Copy)]
pub struct Hold {
    pub user_id: Uuid,
    pub job_id: Uuid,
    /// Credits, above zero.
    pub amount: i64,
    /// How far below zero the balance may go.
    pub grace: i64,
    /// Milliseconds after which the sweep looks whether the job still lives.
    pub expires_in_ms: i64,
}

/// Places a hold; gives the balance that is left.
///
/// # Errors
/// [`LedgerError::Insufficient`] with the balance as it was; nothing is written then.
pub async fn hold(txn: &DatabaseTransaction, hold: Hold) -> Result<i64, LedgerError> {
    let row = HoldRow::find_by_statement(statement(
        "with available as (
            update credit_accounts set balance = balance - $3, updated_at = now()
            where user_id = $1 and kind = 'available' and balance - $3 >= -$4
            returning id, balance
        ), held as (
            update credit_accounts a set balance = a.balance + $3, updated_at = now()
            from available where a.user_id = $1 and a.kind = 'held'
            returning a.id, a.balance
        ), posting as (
            insert into credit_transactions (id, kind, source_type, source_id, user_id)
            select $5, 'hold', 'job', $2::text, $1 from held returning id
        ), entries as (
            insert into credit_entries (transaction_id, account_id, amount, balance_after)
            select posting.id, available.id, -$3, available.balance from posting, available
            union all
            select posting.id, held.id, $3, held.balance from posting, held
        ), reservation as (
            insert into credit_reservations (id, user_id, job_id, amount, expires_at)
            select $6, $1, $2, $3, now() + $7 * interval '1 millisecond' from posting
        )
        select (select balance from available) as held",
        [
            hold.user_id.into(),
            hold.job_id.into(),
            hold.amount.into(),
            hold.grace.into(),
            Uuid::now_v7().into(),
            Uuid::now_v7().into(),
            hold.expires_in_ms.into(),
        ],
    ))
    .one(txn)
    .await?;
    match row {
        Some(HoldRow { held: Some(left) }) => Ok(left),
        // Read anew: the statement may have waited for other holds and still see the old balance.
        _ => Err(LedgerError::Insufficient {
            required: hold.amount,
            available: balance(txn, hold.user_id)
                .await?
                .ok_or(LedgerError::UnknownUser)?,
        }),
    }
}

/// Captures `captured` credits of a job's hold, gives the rest back and writes the usage event;
/// gives the amount that was held.
///
/// # Errors
/// [`LedgerError::NothingHeld`] when it was settled before.
pub async fn capture(
    txn: &DatabaseTransaction,
    job_id: Uuid,
    captured: i64,
    usage: &Usage<'_>,
) -> Result<i64, LedgerError> {
    let statement = Compound::default()
        .step(capture_payment(job_id, captured, usage).step)
        .select("amount from reservation");
    SettledRow::find_by_statement(statement)
        .one(txn)
        .await?
        .map(|row| row.amount)
        .ok_or(LedgerError::NothingHeld(job_id))
}

/// [`capture`] as part of the statement that completes the job.
#[must_use]
pub fn capture_payment(job_id: Uuid, captured: i64, usage: &Usage<'_>) -> Payment {
    let prompt: Option<String> = usage
        .prompt
        .map(|prompt| prompt.chars().take(4096).collect());
    Payment {
        step: Step::new(
            CAPTURE,
            [
                job_id.into(),
                captured.into(),
                Uuid::now_v7().into(),
                usage.provider.into(),
                usage.model.into(),
                prompt.into(),
                usage.metadata.clone().into(),
            ],
        ),
        begun: "reservation",
        done: "held",
    }
}

const CAPTURE: &str = "
reservation as (
    update credit_reservations set state = 'captured', captured_amount = $2, settled_at = now()
    where job_id = $1 and purpose = 'generation' and settled_at is null
    returning id, user_id, amount
), available as (
    update credit_accounts a set balance = a.balance + (r.amount - $2), updated_at = now()
    from reservation r where a.user_id = r.user_id and a.kind = 'available'
    returning a.id, a.balance, a.user_id
), held as (
    update credit_accounts a set balance = a.balance - r.amount, updated_at = now()
    from reservation r, available
    where a.user_id = available.user_id and a.kind = 'held'
    returning a.id, a.balance
), posting as (
    insert into credit_transactions (id, kind, source_type, source_id, user_id)
    select $3, 'capture', 'reservation', r.id::text, r.user_id from reservation r, held
    returning id
), entries as (
    insert into credit_entries (transaction_id, account_id, amount, balance_after)
    select p.id, held.id, -r.amount, held.balance from posting p, held, reservation r
    union all
    select p.id, c.id, $2, null from posting p, credit_accounts c
    where c.user_id is null and c.kind = 'consumption' and $2 > 0
    union all
    select p.id, a.id, r.amount - $2, a.balance from posting p, available a, reservation r
    where r.amount > $2
), usage as (
    insert into usage_events (user_id, job_id, provider, model, prompt, cost, balance_after, status, metadata)
    select a.user_id, $1, $4, $5, $6, $2, a.balance,
           (case when a.balance < 0 then 'GRACE' else 'COMPLETED' end)::usage_status, $7
    from available a
)";

/// Gives a job's whole hold back; gives its amount.
///
/// # Errors
/// [`LedgerError::NothingHeld`] when it was settled before.
pub async fn release(txn: &DatabaseTransaction, job_id: Uuid) -> Result<i64, LedgerError> {
    SettledRow::find_by_statement(statement(
        "with reservation as (
            update credit_reservations set state = 'released', settled_at = now()
            where job_id = $1 and purpose = 'generation' and settled_at is null
            returning id, user_id, amount
        ), available as (
            update credit_accounts a set balance = a.balance + r.amount, updated_at = now()
            from reservation r where a.user_id = r.user_id and a.kind = 'available'
            returning a.id, a.balance, a.user_id
        ), held as (
            update credit_accounts a set balance = a.balance - r.amount, updated_at = now()
            from reservation r, available
            where a.user_id = available.user_id and a.kind = 'held'
            returning a.id, a.balance
        ), posting as (
            insert into credit_transactions (id, kind, source_type, source_id, user_id)
            select $2, 'release', 'reservation', r.id::text, r.user_id from reservation r, held
            returning id
        ), entries as (
            insert into credit_entries (transaction_id, account_id, amount, balance_after)
            select p.id, held.id, -r.amount, held.balance from posting p, held, reservation r
            union all
            select p.id, a.id, r.amount, a.balance from posting p, available a, reservation r
        )
        select amount from reservation",
        [job_id.into(), Uuid::now_v7().into()],
    ))
    .one(txn)
    .await?
    .map(|row| row.amount)
    .ok_or(LedgerError::NothingHeld(job_id))
}

#[derive(Debug, FromQueryResult)]
struct AdjustedRow {
    balance: i64,
}

/// Corrects a user's balance by `amount` credits; gives the new balance, or `None` when this
/// `request_id` was applied before.
///
/// # Errors
/// [`LedgerError::Insufficient`] when it would take the balance below zero.
pub async fn adjust(
    txn: &DatabaseTransaction,
    user_id: Uuid,
    amount: i64,
    request_id: &str,
    reason: &str,
) -> Result<Option<i64>, LedgerError> {
    let posted = txn
        .execute_raw(statement(
            "insert into credit_transactions (id, kind, source_type, source_id, user_id, meta)
             values ($1, 'adjustment', 'request', $2, $3, jsonb_build_object('reason', $4::text))
             on conflict (kind, source_type, source_id) do nothing",
            [
                Uuid::now_v7().into(),
                request_id.into(),
                user_id.into(),
                reason.into(),
            ],
        ))
        .await?;
    if posted.rows_affected() == 0 {
        return Ok(None);
    }
    let row = AdjustedRow::find_by_statement(statement(
        "with posting as (
            select id from credit_transactions
            where kind = 'adjustment' and source_type = 'request' and source_id = $3
        ), available as (
            update credit_accounts set balance = balance + $2, updated_at = now()
            where user_id = $1 and kind = 'available' and ($2 > 0 or balance + $2 >= 0)
            returning id, balance
        ), entries as (
            insert into credit_entries (transaction_id, account_id, amount, balance_after)
            select p.id, a.id, $2, a.balance from posting p, available a
            union all
            select p.id, s.id, -$2, null from posting p, available, credit_accounts s
            where s.user_id is null and s.kind = 'adjustment'
        )
        select balance from available",
        [user_id.into(), amount.into(), request_id.into()],
    ))
    .one(txn)
    .await?;
    match row {
        Some(row) => Ok(Some(row.balance)),
        None => Err(LedgerError::Insufficient {
            required: amount.saturating_neg(),
            available: balance(txn, user_id)
                .await?
                .ok_or(LedgerError::UnknownUser)?,
        }),
    }
}

/// A user's spendable credits.
///
/// # Errors
/// When the database fails.
pub async fn balance(db: &impl ConnectionTrait, user_id: Uuid) -> Result<Option<i64>, DbErr> {
    Ok(AdjustedRow::find_by_statement(statement(
        "select balance from credit_accounts where user_id = $1 and kind = 'available'",
        [user_id.into()],
    ))
    .one(db)
    .await?
    .map(|row| row.balance))
}
