//! The changes that only batch jobs know.

use serde_json::Value as Json;

use super::{Change, JobStatus};

impl Change {
    /// A batch got further: how its items stand is kept with it.
    #[must_use]
    pub fn batch_progress(progress: i16, result: Json) -> Self {
        Self {
            result: Some(result),
            ..Self::progress(progress, "generating")
        }
    }

    /// A batch ended with something delivered.
    #[must_use]
    pub fn batch_completed(result: Json, result_key: &str) -> Self {
        Self::complete(result, result_key, None)
    }

    /// A batch ended with nothing delivered.
    #[must_use]
    pub fn batch_failed(result: Json, error: &str, code: &str, detail: &str) -> Self {
        Self {
            result: Some(result),
            ..Self::fail(error, code, detail)
        }
    }

    /// A batch was cancelled; what was delivered before stays.
    #[must_use]
    pub fn batch_cancelled(result: Json, result_key: Option<&str>, code: &str) -> Self {
        Self {
            stage: Some("cancelled".to_owned()),
            result: Some(result),
            result_key: result_key.map(ToOwned::to_owned),
            error_code: Some(code.to_owned()),
            ..Self::new(JobStatus::Cancelled)
        }
    }
}
