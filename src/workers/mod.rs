//! One file per job type: claim, call a room, record.

pub mod image_generation;
