//! Duty: the ledger's invariants, checked like an accountant would.

use std::sync::Arc;

use sea_orm::DbErr;

use super::Bench;
use crate::payments::ledger::invariants;

/// One turn of the duty: an error line for each broken invariant.
///
/// # Errors
/// When the database fails.
pub async fn run(bench: Arc<Bench>) -> Result<(), DbErr> {
    for violation in invariants::check(&bench.db, bench.settings.credits.grace).await? {
        tracing::error!(
            invariant = violation.invariant,
            subjects = violation.subjects.join(","),
            "the credit ledger breaks an invariant"
        );
    }
    Ok(())
}
