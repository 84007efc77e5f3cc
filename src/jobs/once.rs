//! Admissions of requests with an idempotency key: the key is held while there is work outside the
//! database, and the answer is stored with the job.

use sea_orm::{DatabaseConnection, prelude::Uuid};

use super::JobError;
use crate::models::idempotency_keys::{Entity, KeyedRequest, Marker, Record};

/// A request with an idempotency key, and the answer that is stored with its job.
#[derive(Debug, Clone)]
pub struct Once {
    pub request: KeyedRequest,
    /// HTTP status of the answer.
    pub status: i16,
    /// Its body for the job of this id.
    pub body: fn(Uuid) -> String,
}

/// Runs `admit` for the job `job_id`. With a key it gets the record that its transaction has to write
/// ([`admit`](super::admission::admit) does); with `works_outside` (downloads, uploads) the key is held
/// meanwhile, and given back when the request is refused.
///
/// # Errors
/// [`JobError::KeyTaken`] when the key is held or has an answer, else what `admit` gives.
pub async fn once<E: From<JobError>>(
    db: &DatabaseConnection,
    once: Option<Once>,
    job_id: Uuid,
    works_outside: bool,
    admit: impl AsyncFnOnce(Option<&Record>) -> Result<(), E>,
) -> Result<(), E> {
    let Some(once) = once else {
        return admit(None).await;
    };
    let marker = if works_outside {
        let marker = Entity::mark(db, &once.request).await;
        Some(marker.map_err(JobError::from)?.ok_or(JobError::KeyTaken)?)
    } else {
        None
    };
    let record = Record {
        response: (once.body)(job_id),
        request: once.request,
        marker: marker.as_ref().map(Marker::id),
        status: once.status,
    };
    let outcome = admit(Some(&record)).await;
    match (marker, &outcome) {
        (Some(marker), Ok(())) => marker.keep(),
        // The refusal is told either way; a key that cannot be given back now is free after its lease.
        (Some(marker), Err(_)) => {
            if let Err(error) = marker.release().await {
                tracing::warn!(%error, "an idempotency key could not be given back yet");
            }
        }
        (None, _) => {}
    }
    outcome
}
