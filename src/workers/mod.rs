//! One file per job type: claim, call a room, record.

pub mod batch_generation;
pub mod image_generation;
pub mod image_upscale;
pub mod mail;
pub mod scene_generation;
pub mod step;
pub mod video_generation;
