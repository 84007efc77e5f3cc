//! Generation: what is wanted, who makes it, and the pipeline that carries a job through.

pub mod admission;
pub mod batch;
pub mod error;
pub mod frames;
pub mod gates;
pub mod health;
pub mod kit;
mod measure;
pub mod options;
pub mod pipeline;
pub mod provider;
pub mod providers;
pub mod references;
pub mod registry;
pub mod request;
mod retry;
pub mod scenes;
mod steps;

use std::time::Duration;

use crate::{
    jobs::JobError,
    net::NetError,
    storage::{IntakeError, StorageError},
};

/// Why a wanted picture is refused at the door.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    #[error("Unsupported model: {0}")]
    UnsupportedModel(String),
    /// Upstream has it no more.
    #[error("The model {model} is no longer available.{}", .replacement.as_ref().map(|id| format!(" Please use {id} instead.")).unwrap_or_default())]
    RetiredModel {
        model: String,
        replacement: Option<String>,
    },
    #[error("Unsupported provider: {0}")]
    UnsupportedProvider(String),
    /// An option has a value that no provider takes.
    #[error("{0}")]
    InvalidOption(String),
    /// A reference image cannot be used; the sentence says which and why.
    #[error("{0}")]
    InvalidReference(String),
    /// The prepared scenes or their pictures are not to be had.
    #[error("The scenes are not available right now. Please try again.")]
    NoScenes(String),
    /// The provider has no key here.
    #[error("{0} is not configured")]
    NotConfigured(String),
    /// Nobody here does this kind of work under that name.
    #[error("No provider of {} is set up for {name} on this server.", .kind.noun())]
    NoProvider { name: String, kind: request::Kind },
    /// The provider failed again and again lately.
    #[error(
        "The provider {provider} is not available right now. Please try again in a moment or choose another model."
    )]
    Suspended {
        provider: String,
        retry_in: Duration,
    },
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Intake(#[from] IntakeError),
    #[error(transparent)]
    Net(#[from] NetError),
    #[error(transparent)]
    Job(#[from] JobError),
}
