//! `cargo loco task jobs_stuck [age:<seconds>]`: jobs that do not get on; exit status 1 when there are any.

use async_trait::async_trait;
use loco_rs::prelude::*;

use super::number_of;
use crate::{
    models::jobs::{Entity, Suspicion},
    settings::Settings,
};

/// Seconds a job may be late before it is stuck. The duties mend what is lost within 15.
const DEFAULT_AGE_S: i64 = 60;
/// Jobs named for one suspicion.
const NAMED: i64 = 100;

/// Lists stuck jobs.
pub struct JobsStuck;

#[async_trait]
impl Task for JobsStuck {
    fn task(&self) -> TaskInfo {
        TaskInfo {
            name: "jobs_stuck".to_owned(),
            detail: "List jobs that do not get on: [age:<seconds>, default 60]".to_owned(),
        }
    }

    async fn run(&self, ctx: &AppContext, vars: &task::Vars) -> Result<()> {
        let age_s = number_of(vars, "age")?.unwrap_or(DEFAULT_AGE_S);
        let max_running = Settings::of(ctx)?.jobs.max_running_per_user;
        let mut is_clean = true;
        for (suspicion, advice) in [
            (
                Suspicion::Overdue,
                "do workers of this queue run? then: task jobs_nudge job:<id>",
            ),
            (
                Suspicion::LeaseLapsed,
                "the next worker takes it over; do workers of this queue run?",
            ),
            (
                Suspicion::PastDeadline,
                "its next step gives it up and returns the credits: task jobs_nudge job:<id>",
            ),
            (
                Suspicion::HoldWithoutJob,
                "this must not happen: task ledger_check tells more",
            ),
        ] {
            let suspects = Entity::suspects(&ctx.db, suspicion, age_s, max_running, NAMED).await?;
            if suspects.is_empty() {
                continue;
            }
            is_clean = false;
            println!("{}: {} ({advice})", suspicion.name(), suspects.len());
            for job in suspects {
                println!(
                    "  {}  {}  {}  for {} s  claims {}, tries {}, rescues {}",
                    job.id, job.queue, job.status, job.age_s, job.claim_no, job.tries, job.rescues
                );
            }
        }
        if is_clean {
            println!("No job is stuck.");
            return Ok(());
        }
        Err(Error::string("some jobs do not get on"))
    }
}
