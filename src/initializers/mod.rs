//! Start-up pieces: configuration, components of the context, the HTTP listener, the notification
//! listener with live updates, worker duties.

pub mod boot;
pub mod components;
pub mod dev_inbox;
pub mod home_commands;
pub mod listener;
pub mod live_updates;
pub mod outside_parts;
pub mod serve;
pub mod worker_duties;
pub mod worker_metrics;
