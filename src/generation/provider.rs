//! The contract of a provider: check, submit, poll, read. A provider holds no state of a job and
//! knows nothing of the database; the pipeline persists between the steps.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value;

use super::{
    RequestError,
    error::{FaultClass, ProviderError},
    request::{Input, Kind},
};
use crate::{net::Policy, settings::Secret, storage::ImageKind};

/// What a provider says to a request before it is admitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Results that will be made; each is charged.
    pub outputs: u32,
    /// Options that are ignored or changed, as sentences.
    pub warnings: Vec<String>,
}

/// How a provider takes given pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReferenceForm {
    #[default]
    Bytes,
    /// Addresses where it can fetch them for a while without credentials.
    Address {
        /// The provider runs on this machine, as stand-ins do: it may fetch from loopback.
        is_local: bool,
    },
}

/// A reference image, in the form that its provider wants.
#[derive(Debug, Clone)]
pub struct Reference {
    /// Empty for a provider that takes addresses.
    pub bytes: Bytes,
    pub mime_type: String,
    /// A signed address of ours, for a provider that takes addresses.
    pub url: Option<Secret>,
}

/// A given picture as it is known before admission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GivenPicture {
    pub kind: ImageKind,
    /// Width and height, pixels.
    pub sides: (u32, u32),
    pub size_bytes: u64,
}

/// One result, or one set of results, to make.
#[derive(Debug)]
pub struct Work<'a> {
    pub input: &'a Input,
    pub references: &'a [Reference],
}

/// How a submission went.
#[derive(Debug)]
pub enum Submission {
    /// The results are there at once.
    Done(Vec<Output>),
    /// The provider works on it under this id.
    Accepted(Task),
}

/// An upstream task, as stored with the job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    pub id: String,
    /// What polling needs beside the id.
    pub state: Value,
}

/// How an upstream task stands.
#[derive(Debug)]
pub enum Status {
    /// Not finished; also for states that we do not know.
    Pending,
    Done(Vec<Output>),
}

/// One result of an answer.
#[derive(Debug, Clone)]
pub enum Output {
    Bytes(Bytes),
    /// A temporary address, to be fetched through the guarded fetcher at once.
    Url(String),
}

/// How a provider's tasks are looked after.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Between two polls.
    pub poll_interval: Duration,
    /// From submission until the generation is given up.
    pub budget: Duration,
}

/// A provider of pictures, videos, or both.
#[async_trait]
pub trait Provider: Send + Sync {
    /// What it can do. It is never asked for anything else.
    fn capabilities(&self) -> &'static [Kind] {
        &[Kind::Image]
    }

    /// Checks the options of a request.
    ///
    /// # Errors
    /// [`RequestError::InvalidOption`] for what the provider would refuse.
    fn check(&self, input: &Input, references: usize) -> Result<Checked, RequestError>;

    /// Checks the picture of an upscale by its sides, pixels.
    ///
    /// # Errors
    /// [`RequestError::InvalidReference`] for one that the provider would refuse.
    fn check_source(&self, _input: &Input, _sides: (u32, u32)) -> Result<(), RequestError> {
        Ok(())
    }

    /// Checks each given picture of a request.
    ///
    /// # Errors
    /// [`RequestError::InvalidReference`] for one that the provider would refuse.
    fn check_given(&self, _input: &Input, _given: &GivenPicture) -> Result<(), RequestError> {
        Ok(())
    }

    /// How it takes given pictures.
    fn reference_form(&self) -> ReferenceForm {
        ReferenceForm::Bytes
    }

    /// Model id upstream, as stored with the file.
    fn upstream_model(&self, input: &Input) -> String;

    /// Starts the work, once.
    ///
    /// # Errors
    /// See [`ProviderError`].
    async fn submit(&self, work: &Work<'_>) -> Result<Submission, ProviderError>;

    /// Looks how a task stands; never asked of a provider that gives its results at once.
    ///
    /// # Errors
    /// See [`ProviderError`].
    async fn poll(&self, _task: &Task) -> Result<Status, ProviderError> {
        // Reached only when an older release submitted it to a provider that worked in tasks then.
        let detail = "this provider has no tasks";
        Err(ProviderError::new(FaultClass::BadUpstream, detail).forgetting_task())
    }

    /// Ends a task that nobody wants any more; a provider that cannot lets it run out.
    ///
    /// # Errors
    /// See [`ProviderError`].
    async fn cancel(&self, _task: &Task) -> Result<(), ProviderError> {
        Ok(())
    }

    /// How its tasks are looked after.
    fn pace(&self, kind: Kind) -> Pace;

    /// Which addresses its results may have.
    fn result_policy(&self, max_bytes: u64) -> Policy;
}
