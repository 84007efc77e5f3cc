//! Start-up pieces: configuration, components of the context, the listener, worker duties.

pub mod boot;
pub mod components;
pub mod home_commands;
pub mod serve;
pub mod worker_duties;
pub mod worker_metrics;
