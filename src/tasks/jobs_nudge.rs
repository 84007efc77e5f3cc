//! `cargo loco task jobs_nudge job:<id>`: makes a waiting job due now and sends a delivery for it.

use async_trait::async_trait;
use loco_rs::prelude::*;
use uuid::Uuid;

use crate::{jobs::nudge::nudge, models::jobs::Nudge, queue};

/// Nudges a job.
pub struct JobsNudge;

#[async_trait]
impl Task for JobsNudge {
    fn task(&self) -> TaskInfo {
        TaskInfo {
            name: "jobs_nudge".to_owned(),
            detail: "Retry a waiting job now (what is final stays final): job:<id>".to_owned(),
        }
    }

    async fn run(&self, ctx: &AppContext, vars: &task::Vars) -> Result<()> {
        let id = vars
            .cli_arg("job")
            .ok()
            .and_then(|text| Uuid::parse_str(text).ok())
            .ok_or_else(|| Error::string("name the job: job:<id>"))?;
        let carrier = queue::carrier(ctx)?;
        match nudge(&ctx.db, carrier.as_ref(), id).await? {
            Nudge::Due { .. } => {
                println!("{id} is due now and has a delivery.");
                Ok(())
            }
            Nudge::InWork => {
                println!("{id} is being worked on and its worker lives; nothing was changed.");
                Ok(())
            }
            Nudge::Final(status) => Err(Error::string(&format!(
                "{id} is {status}, and that is final: its credits are settled. \
                 The owner has to ask for it again."
            ))),
            Nudge::Unknown => Err(Error::string("there is no such job")),
        }
    }
}
