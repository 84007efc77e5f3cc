//! Video jobs. Retries, rescues and deadline as for image jobs; how long a task may take upstream is
//! its provider's budget.

use async_trait::async_trait;
use loco_rs::prelude::*;

use super::step::{JobArgs, run};
use crate::{jobs::route, models::jobs::JobType};

/// Works video jobs.
pub struct VideoGenerationWorker {
    ctx: AppContext,
}

#[async_trait]
impl BackgroundWorker<JobArgs> for VideoGenerationWorker {
    fn queue() -> Option<String> {
        Some(route(&JobType::VideoGeneration).queue.to_owned())
    }

    fn build(ctx: &AppContext) -> Self {
        Self { ctx: ctx.clone() }
    }

    async fn perform(&self, _args: JobArgs) -> Result<()> {
        run(&self.ctx, &JobType::VideoGeneration).await
    }
}
