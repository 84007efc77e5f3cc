//! The ledger's invariants I1-I12 (payments contract 11.4) as SQL: each query must give no rows.
//! Run after tests that move money, by `cargo loco task ledger_check`, and by the audit duty.

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};

use crate::models::statement;

/// A broken invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Its number and meaning.
    pub invariant: &'static str,
    /// Ids of the first rows that break it.
    pub subjects: Vec<String>,
}

#[derive(Debug, FromQueryResult)]
struct Row {
    subject: String,
}

/// How many offending rows are named for one invariant.
const NAMED_ROWS: u32 = 5;

/// Number and meaning, and a query whose `subject` column names the offenders. `$1` is the grace.
const INVARIANTS: [(&str, &str); 14] = [
    (
        "I1 entries of a transaction sum to zero and are at least two",
        "select t.id::text as subject from credit_transactions t
         left join credit_entries e on e.transaction_id = t.id
         group by t.id having coalesce(sum(e.amount), 0) <> 0 or count(e.id) < 2",
    ),
    (
        "I2 a user account's balance equals the sum of its entries",
        "select a.id::text as subject from credit_accounts a
         left join credit_entries e on e.account_id = a.id where a.user_id is not null
         group by a.id having a.balance <> coalesce(sum(e.amount), 0)",
    ),
    (
        "I2 a user account's balance equals its last entry's balance_after",
        "select a.id::text as subject from credit_accounts a
         join lateral (select balance_after from credit_entries e where e.account_id = a.id
                       order by e.id desc limit 1) last on true
         where a.user_id is not null and last.balance_after is distinct from a.balance",
    ),
    (
        "I3 all entries sum to zero",
        "select 'all' as subject from credit_entries having coalesce(sum(amount), 0) <> 0",
    ),
    (
        "I4 held equals the user's open reservations",
        "select a.user_id::text as subject from credit_accounts a
         left join credit_reservations r on r.user_id = a.user_id and r.state = 'held'
         where a.kind = 'held' group by a.id having a.balance <> coalesce(sum(r.amount), 0)",
    ),
    (
        "I5 a reservation has one hold and, when settled, one capture or release",
        "select r.id::text as subject from credit_reservations r
         where (select count(*) from credit_transactions t
                where t.kind = 'hold' and t.source_type = 'job' and t.source_id = r.job_id::text) <> 1
            or (select count(*) from credit_transactions t
                where t.source_type = 'reservation' and t.source_id = r.id::text
                  and t.kind in ('capture', 'release'))
               <> (case when r.state = 'held' then 0 else 1 end)
            or (select count(*) from credit_transactions t
                where t.source_type = 'reservation' and t.source_id = r.id::text
                  and t.kind = (case r.state when 'captured' then 'capture' else 'release' end))
               <> (case when r.state = 'held' then 0 else 1 end)",
    ),
    (
        "I6 available not below the grace, held not below zero, debt not above zero",
        "select a.id::text as subject from credit_accounts a
         where (a.kind = 'available' and a.balance < -$1)
            or (a.kind = 'held' and a.balance < 0) or (a.kind = 'debt' and a.balance > 0)",
    ),
    (
        "I7 a paid one-time payment has exactly one purchase of equal credits, others none",
        "select p.id::text as subject from payments p
         left join credit_transactions t on t.kind = 'purchase' and t.source_id = p.stripe_session_id
         left join credit_entries e on e.transaction_id = t.id and e.amount > 0
         left join credit_accounts a on a.id = e.account_id and a.kind = 'available'
         where p.type = 'ONE_TIME' group by p.id
         having (p.status in ('COMPLETED', 'REFUNDED') and coalesce(sum(e.amount) filter (where a.id is not null), 0) <> p.credits)
             or (p.status not in ('COMPLETED', 'REFUNDED') and count(t.id) > 0)",
    ),
    (
        "I8 no period grant without a stored invoice",
        "select t.id::text as subject from credit_transactions t
         where t.kind in ('subscription_period', 'upgrade_difference')
           and not exists (select 1 from payments p where p.stripe_invoice_id = t.source_id)",
    ),
    (
        "I9 clawback of a payment is at most what it granted",
        "select p.id::text as subject from payments p
         join credit_transactions t on t.kind in ('refund', 'dispute') and t.meta ->> 'payment_id' = p.id::text
         join credit_entries e on e.transaction_id = t.id
         join credit_accounts a on a.id = e.account_id and a.kind = 'clawback'
         group by p.id having sum(e.amount) > p.credits",
    ),
    (
        "I10 a final job holds nothing; a completed one is captured once with one usage event",
        "select j.id::text as subject from jobs j
         left join credit_reservations r on r.job_id = j.id
         left join usage_events u on u.job_id = j.id
         where (j.status in ('COMPLETED', 'FAILED', 'CANCELLED') and r.state = 'held')
            or (j.status = 'COMPLETED' and j.cost > 0
                and (r.state is distinct from 'captured' or u.id is null or u.cost <> r.captured_amount))
            or (j.status in ('FAILED', 'CANCELLED') and not (j.status = 'CANCELLED' and j.type = 'BATCH_GENERATION')
                and (r.state = 'captured' or u.id is not null))
            or (j.status in ('PENDING', 'PROCESSING') and j.cost > 0 and r.state is distinct from 'held')",
    ),
    (
        "I10 a final batch is captured for exactly the items that it delivered",
        "select j.id::text as subject from jobs j
         join job_items i on i.job_id = j.id
         left join credit_reservations r on r.job_id = j.id
         left join usage_events u on u.job_id = j.id
         where j.status in ('COMPLETED', 'FAILED', 'CANCELLED') and j.cost > 0
         group by j.id, r.id, u.id
         having coalesce(r.captured_amount, 0) * count(*)
                <> j.cost * count(*) filter (where i.status = 'COMPLETED')
             or coalesce(u.cost, 0) <> coalesce(r.captured_amount, 0)",
    ),
    (
        "I11 a user has at most one live subscription",
        "select user_id::text as subject from subscriptions where ended_at is null
         group by user_id having count(*) > 1",
    ),
    (
        "I12 no Stripe event stays unapplied beyond a day",
        "select id as subject from stripe_events
         where state in ('received', 'failed') and received_at < now() - interval '1 day'",
    ),
];

/// Checks every invariant; an empty list means the books are clean.
///
/// # Errors
/// When the database fails.
pub async fn check(db: &impl ConnectionTrait, grace: i64) -> Result<Vec<Violation>, DbErr> {
    let mut violations = Vec::new();
    for (invariant, query) in INVARIANTS {
        // Each query is wrapped so that all of them take the same parameters.
        let sql = format!(
            "select subject from ({query}) offenders where $1::bigint is not null limit {NAMED_ROWS}"
        );
        let rows = Row::find_by_statement(statement(&sql, [grace.into()]))
            .all(db)
            .await?;
        if !rows.is_empty() {
            violations.push(Violation {
                invariant,
                subjects: rows.into_iter().map(|row| row.subject).collect(),
            });
        }
    }
    Ok(violations)
}
