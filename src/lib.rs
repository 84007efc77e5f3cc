//! The DayGen backend: AI image and video generation with credits, jobs and a gallery.
//!
//! `docs/architecture.md` says which room holds what and who may import whom.

pub mod app;
pub mod auth;
pub mod controllers;
pub mod dtos;
pub mod embedded;
pub mod generation;
pub mod http;
pub mod initializers;
pub mod jobs;
pub mod mailers;
pub mod models;
pub mod net;
pub mod payments;
pub mod queue;
pub mod realtime;
pub mod settings;
pub mod storage;
pub mod tasks;
pub mod telemetry;
pub mod views;
pub mod workers;
