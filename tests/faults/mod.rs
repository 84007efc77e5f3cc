//! Kills at every step of a job, with real processes.

mod kill;
mod long;
mod start;
