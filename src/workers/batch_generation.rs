//! Batch jobs: one run works on up to `batchSize` items at the same time. Retries count per item; a
//! lost worker up to `jobs.max_rescues` and the deadline count for the batch, and what is done by then
//! is delivered.

use async_trait::async_trait;
use loco_rs::prelude::*;

use super::step::{JobArgs, run};
use crate::{jobs::route, models::jobs::JobType};

/// Works batch jobs.
pub struct BatchGenerationWorker {
    ctx: AppContext,
}

#[async_trait]
impl BackgroundWorker<JobArgs> for BatchGenerationWorker {
    fn queue() -> Option<String> {
        Some(route(&JobType::BatchGeneration).queue.to_owned())
    }

    fn build(ctx: &AppContext) -> Self {
        Self { ctx: ctx.clone() }
    }

    async fn perform(&self, _args: JobArgs) -> Result<()> {
        run(&self.ctx, &JobType::BatchGeneration).await
    }
}
