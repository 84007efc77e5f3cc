//! `cargo loco task credits_adjust user:<e-mail or id> amount:<n> [request:<id>] [reason:<text>]`.

use async_trait::async_trait;
use loco_rs::prelude::*;

use super::user_of;
use crate::{models::begin, payments::ledger};

/// Corrects a balance; the same `request` is applied once.
pub struct CreditsAdjust;

#[async_trait]
impl Task for CreditsAdjust {
    fn task(&self) -> TaskInfo {
        TaskInfo {
            name: "credits_adjust".to_owned(),
            detail:
                "Add or take credits: user:<e-mail or id> amount:<n> [request:<id>] [reason:<text>]"
                    .to_owned(),
        }
    }

    async fn run(&self, ctx: &AppContext, vars: &task::Vars) -> Result<()> {
        let user = user_of(ctx, vars).await?;
        let amount: i64 = vars
            .cli_arg("amount")
            .ok()
            .and_then(|text| text.trim_start_matches('+').parse().ok())
            .filter(|amount| *amount != 0)
            .ok_or_else(|| {
                Error::string("say how many: amount:<whole number, below zero to take>")
            })?;
        let fresh = uuid::Uuid::new_v4().to_string();
        let request = vars.cli_arg("request").unwrap_or(&fresh);
        let reason = vars.cli_arg("reason").unwrap_or("operator");
        let txn = begin(&ctx.db).await?;
        match ledger::adjust(&txn, user.id, amount, request, reason)
            .await
            .map_err(Error::wrap)?
        {
            Some(balance) => {
                txn.commit().await?;
                println!("Adjusted by {amount}; the balance is {balance} now.");
            }
            None => println!("The request {request} was applied before; nothing changed."),
        }
        Ok(())
    }
}
