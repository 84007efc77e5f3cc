//! What a worker may do to its job.

use serde_json::Value as Json;

use super::JobStatus;

/// One change of a job. Made by the constructors named for the change.
#[derive(Debug, Clone)]
pub struct Change {
    pub(super) to: JobStatus,
    /// Whether watchers can see it: then an event is written.
    pub(super) is_visible: bool,
    pub(super) keeps_lease: bool,
    pub(super) progress: Option<i16>,
    pub(super) stage: Option<String>,
    pub(super) next_in_ms: Option<i64>,
    pub(super) counts_as_try: bool,
    pub(super) upstream: Upstream,
    pub(super) result: Option<Json>,
    pub(super) result_key: Option<String>,
    pub(super) warnings: Option<Json>,
    pub(super) error: Option<String>,
    pub(super) error_code: Option<String>,
    pub(super) error_detail: Option<String>,
}

/// What a change does to the upstream task of a job.
#[derive(Debug, Clone)]
pub(super) enum Upstream {
    Keep,
    Forget,
    Set { id: String, state: Json },
}

impl Change {
    pub(super) fn new(to: JobStatus) -> Self {
        Self {
            to,
            is_visible: true,
            keeps_lease: false,
            progress: None,
            stage: None,
            next_in_ms: None,
            counts_as_try: false,
            upstream: Upstream::Keep,
            result: None,
            result_key: None,
            warnings: None,
            error: None,
            error_code: None,
            error_detail: None,
        }
    }

    /// Whether watchers can see the change: then it has an event, and has to be announced.
    #[must_use]
    pub const fn is_visible(&self) -> bool {
        self.is_visible
    }

    /// The worker got further, 0 to 100.
    #[must_use]
    pub fn progress(progress: i16, stage: &str) -> Self {
        Self {
            keeps_lease: true,
            progress: Some(progress),
            stage: Some(stage.to_owned()),
            ..Self::new(JobStatus::Processing)
        }
    }

    /// The upstream provider took the work and named it.
    #[must_use]
    pub fn submitted(id: &str, state: Json, progress: i16) -> Self {
        Self {
            upstream: Upstream::Set {
                id: id.to_owned(),
                state,
            },
            ..Self::progress(progress, "generating")
        }
    }

    /// Nothing to do until upstream is asked again in `next_in_ms`; no lease is held meanwhile.
    #[must_use]
    pub fn wait(next_in_ms: i64) -> Self {
        Self {
            is_visible: false,
            next_in_ms: Some(next_in_ms),
            ..Self::new(JobStatus::Processing)
        }
    }

    /// Looking at the upstream task failed; the next look comes in `next_in_ms`. The task goes on
    /// upstream, so the job keeps running.
    #[must_use]
    pub fn look_again(next_in_ms: i64, code: &str, detail: &str) -> Self {
        Self {
            error_code: Some(code.to_owned()),
            error_detail: Some(detail.to_owned()),
            ..Self::wait(next_in_ms)
        }
    }

    /// The process ends: another one may go on at once.
    #[must_use]
    pub fn hand_back() -> Self {
        Self::wait(0)
    }

    /// A try failed; the next one starts in `next_in_ms`. `counts` is false for waits that are not
    /// the job's fault (rate limits).
    #[must_use]
    pub fn retry(
        next_in_ms: i64,
        counts: bool,
        forgets_upstream: bool,
        code: &str,
        detail: &str,
    ) -> Self {
        Self {
            progress: Some(0),
            stage: Some("waiting to try again".to_owned()),
            next_in_ms: Some(next_in_ms),
            counts_as_try: counts,
            upstream: if forgets_upstream {
                Upstream::Forget
            } else {
                Upstream::Keep
            },
            error_code: Some(code.to_owned()),
            error_detail: Some(detail.to_owned()),
            ..Self::new(JobStatus::Pending)
        }
    }

    /// The work is done and stored.
    #[must_use]
    pub fn complete(result: Json, result_key: &str, warnings: Option<Json>) -> Self {
        Self {
            progress: Some(100),
            stage: Some("completed".to_owned()),
            result: Some(result),
            result_key: Some(result_key.to_owned()),
            warnings,
            ..Self::new(JobStatus::Completed)
        }
    }

    /// The owner does not want the work any more.
    #[must_use]
    pub fn cancel() -> Self {
        Self {
            stage: Some("cancelled".to_owned()),
            ..Self::new(JobStatus::Cancelled)
        }
    }

    /// The work failed for good: a sentence for the owner, a stable code, a private detail.
    #[must_use]
    pub fn fail(error: &str, code: &str, detail: &str) -> Self {
        Self {
            stage: Some("failed".to_owned()),
            error: Some(error.to_owned()),
            error_code: Some(code.to_owned()),
            error_detail: Some(detail.to_owned()),
            ..Self::new(JobStatus::Failed)
        }
    }
}
