//! Batches: one job, many prompts, one picture and one fate for each.
//!
//! A step claims the whole batch and works on up to `batchSize` of its items at the same time. Each
//! item goes through the same steps as a job of its own, and what a step finds out is kept with the
//! item. Between two looks the batch holds no slot. One item's failure is not the batch's.

mod admission;
mod end;
mod item;
mod step;

use serde::{Deserialize, Serialize};

use super::request::Input;

pub use admission::WantedBatch;

/// Items worked at the same time unless the request says otherwise.
pub const DEFAULT_BATCH_SIZE: u32 = 5;

/// A batch as it is stored with its job. The prompts are its items'.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchInput {
    /// Items that are upstream or being worked on at the same time.
    pub batch_size: u32,
    /// What all pictures have in common.
    #[serde(flatten)]
    pub picture: Input,
}
