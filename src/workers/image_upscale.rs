//! Upscale jobs. Retries, rescues and deadline as for image jobs.

use async_trait::async_trait;
use loco_rs::prelude::*;

use super::step::{JobArgs, run};
use crate::{jobs::route, models::jobs::JobType};

/// Works upscale jobs.
pub struct ImageUpscaleWorker {
    ctx: AppContext,
}

#[async_trait]
impl BackgroundWorker<JobArgs> for ImageUpscaleWorker {
    fn queue() -> Option<String> {
        Some(route(&JobType::ImageUpscale).queue.to_owned())
    }

    fn build(ctx: &AppContext) -> Self {
        Self { ctx: ctx.clone() }
    }

    async fn perform(&self, _args: JobArgs) -> Result<()> {
        run(&self.ctx, &JobType::ImageUpscale).await
    }
}
