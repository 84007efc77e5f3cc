//! The answer to a pushed delivery.

use serde::Serialize;

/// The named job's status after the delivery was taken.
#[derive(Debug, Serialize)]
pub struct ProcessedView {
    pub status: String,
}
