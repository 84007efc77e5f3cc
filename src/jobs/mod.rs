//! Jobs: admission, claims with leases, settling, and the duties that keep both honest.

pub mod admission;
pub mod cancel;
pub mod duties;
pub mod figures;
pub mod leases;
pub mod lookup;
pub mod nudge;
pub mod once;
pub mod settle;

use sea_orm::{DbErr, prelude::Uuid};

use crate::{
    models::jobs::{JobStatus, JobType},
    payments::ledger::LedgerError,
    queue::Delivery,
};

/// Where the work of a job type goes: its queue and the class of its worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    pub queue: &'static str,
    pub worker: &'static str,
}

/// The route of a job type (generation contract 10.1).
#[must_use]
pub const fn route(job_type: &JobType) -> Route {
    match job_type {
        JobType::ImageGeneration => Route {
            queue: "image-generation-queue",
            worker: "ImageGenerationWorker",
        },
        JobType::VideoGeneration => Route {
            queue: "video-generation-queue",
            worker: "VideoGenerationWorker",
        },
        JobType::ImageUpscale => Route {
            queue: "image-upscale-queue",
            worker: "ImageUpscaleWorker",
        },
        JobType::BatchGeneration => Route {
            queue: "batch-generation-queue",
            worker: "BatchGenerationWorker",
        },
        JobType::SceneGeneration => Route {
            queue: "scene-generation-queue",
            worker: "SceneGenerationWorker",
        },
    }
}

/// Every job type, as its text, with its queue.
pub const QUEUES: [(&str, &str); 5] = [
    ("IMAGE_GENERATION", route(&JobType::ImageGeneration).queue),
    ("VIDEO_GENERATION", route(&JobType::VideoGeneration).queue),
    ("IMAGE_UPSCALE", route(&JobType::ImageUpscale).queue),
    ("BATCH_GENERATION", route(&JobType::BatchGeneration).queue),
    ("SCENE_GENERATION", route(&JobType::SceneGeneration).queue),
];

/// The worker class of a generation queue.
#[must_use]
pub fn worker_of(queue: &str) -> Option<&'static str> {
    [
        JobType::ImageGeneration,
        JobType::VideoGeneration,
        JobType::ImageUpscale,
        JobType::BatchGeneration,
        JobType::SceneGeneration,
    ]
    .iter()
    .map(route)
    .find(|route| route.queue == queue)
    .map(|route| route.worker)
}

/// A delivery for a due job of a generation queue.
#[must_use]
pub fn delivery_to(queue: &str, job_id: Uuid) -> Option<Delivery> {
    Some(Delivery {
        queue: queue.to_owned(),
        worker: worker_of(queue)?.to_owned(),
        job_id,
        delay_ms: 0,
        priority: 0,
    })
}

/// What can go wrong around a job.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// Too many jobs of the user wait already.
    #[error("the user has {max_queued} waiting jobs already")]
    QueueFull { max_queued: i64 },
    /// There is no such job of this user.
    #[error("there is no such job")]
    NotFound,
    /// The job ended before.
    #[error("the job is {0:?} already")]
    Final(JobStatus),
    /// The request's idempotency key is held by another request or has an answer; nothing was written.
    #[error("the idempotency key is in use")]
    KeyTaken,
    /// Another claim took the job over; nothing was written.
    #[error("this claim of the job is stale")]
    Stale,
    /// Whether the job was admitted cannot be told: the database went away during the commit.
    #[error("the admission of job {0} was not answered")]
    Undecided(Uuid),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Database(#[from] DbErr),
}
