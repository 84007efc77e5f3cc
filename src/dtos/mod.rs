//! Request bodies: one file per family, each a checked shape made from raw JSON fields.

pub mod auth;
pub mod fields;
pub mod generation;
pub mod gotrue;
pub mod jobs;
pub mod process;
pub mod scenes;
pub mod users;
