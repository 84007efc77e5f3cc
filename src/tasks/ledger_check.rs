//! `cargo loco task ledger_check`: the ledger's invariants; exit status 1 when one is broken.

use async_trait::async_trait;
use loco_rs::prelude::*;

use crate::{payments::ledger::invariants, settings::Settings};

/// Checks the books.
pub struct LedgerCheck;

#[async_trait]
impl Task for LedgerCheck {
    fn task(&self) -> TaskInfo {
        TaskInfo {
            name: "ledger_check".to_owned(),
            detail: "Check the credit ledger's invariants".to_owned(),
        }
    }

    async fn run(&self, ctx: &AppContext, _vars: &task::Vars) -> Result<()> {
        let grace = Settings::of(ctx)?.credits.grace;
        let violations = invariants::check(&ctx.db, grace).await?;
        if violations.is_empty() {
            println!("The ledger is clean.");
            return Ok(());
        }
        for violation in &violations {
            println!("{}: {}", violation.invariant, violation.subjects.join(", "));
        }
        Err(Error::string("the ledger breaks its invariants"))
    }
}
