//! Kills at every step of a job, with real processes.

mod batch;
mod chaos;
mod keyed;
mod kill;
mod long;
mod memory;
mod start;
mod upstream;
