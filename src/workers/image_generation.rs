//! Image jobs. Retry: transient faults up to `jobs.max_tries`, durable back-off; a lost worker up to
//! `jobs.max_rescues`; deadline `jobs.deadline_ms` after the first claim. Runs any number of times for
//! one job: each run claims, works one step and settles it.

use async_trait::async_trait;
use loco_rs::prelude::*;

use super::step::{JobArgs, run};
use crate::{jobs::route, models::jobs::JobType};

/// Works image jobs.
pub struct ImageGenerationWorker {
    ctx: AppContext,
}

#[async_trait]
impl BackgroundWorker<JobArgs> for ImageGenerationWorker {
    fn queue() -> Option<String> {
        Some(route(&JobType::ImageGeneration).queue.to_owned())
    }

    fn build(ctx: &AppContext) -> Self {
        Self { ctx: ctx.clone() }
    }

    async fn perform(&self, _args: JobArgs) -> Result<()> {
        run(&self.ctx, &JobType::ImageGeneration).await
    }
}
