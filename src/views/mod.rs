//! Answer bodies, one file per family. Entities are never serialised.

pub mod auth;
pub mod gotrue;
pub mod health;
pub mod jobs;
pub mod metrics;
pub mod process;
pub mod providers;
pub mod queues;
pub mod r2_files;
pub mod scenes;
pub mod users;

pub use crate::models::timestamp;
