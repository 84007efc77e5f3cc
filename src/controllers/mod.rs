//! HTTP in: one file per route family, thin.

pub mod auth;
pub mod events;
pub mod files;
pub mod gotrue;
pub mod health;
pub mod image;
pub mod jobs;
pub mod operations;
pub mod process;
pub mod providers;
pub mod r2files;
pub mod scenes;
pub mod users;
pub mod video;
pub mod waiting;
