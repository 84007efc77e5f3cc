//! Settings of the carriers of deliveries.

use std::{collections::BTreeMap, path::PathBuf};

use serde::Deserialize;

use super::{Secret, flag, optional};

/// The carriers of deliveries.
#[derive(Debug, Clone, Deserialize)]
pub struct Queue {
    /// Steps worked at the same time by one process, per queue name, whatever carrier brings them.
    pub concurrency: BTreeMap<String, usize>,
    pub poll_interval_ms: u64,
    pub retention_days: u32,
    /// Key of `POST /api/jobs/process`; without it only Google's tokens open that route.
    #[serde(deserialize_with = "optional")]
    pub internal_api_key: Option<Secret>,
    /// How long a pushed delivery waits for a free slot.
    pub push_wait_ms: u64,
    pub cloud_tasks: CloudTasks,
}

impl Queue {
    /// Whether `POST /api/jobs/process` can be opened by anybody.
    #[must_use]
    pub fn accepts_pushes(&self) -> bool {
        self.internal_api_key.is_some() || self.cloud_tasks.oidc_service_account.is_some()
    }
}

/// Google Cloud Tasks as carrier of generation jobs.
#[derive(Debug, Clone, Deserialize)]
pub struct CloudTasks {
    #[serde(deserialize_with = "flag")]
    pub enabled: bool,
    #[serde(deserialize_with = "optional")]
    pub project: Option<String>,
    #[serde(deserialize_with = "optional")]
    pub location: Option<String>,
    /// File of a service account; without one the metadata server of the machine is asked.
    #[serde(deserialize_with = "optional")]
    pub credentials: Option<PathBuf>,
    pub api_base: String,
    pub metadata_base: String,
    /// Account whose tokens Cloud Tasks shall send instead of the internal key.
    #[serde(deserialize_with = "optional")]
    pub oidc_service_account: Option<String>,
    #[serde(deserialize_with = "optional")]
    pub oidc_audience: Option<String>,
    pub oidc_certs_url: String,
    pub call_timeout_ms: u64,
    pub dispatch_deadline_ms: u64,
    pub relay_interval_ms: u64,
    pub relay_batch: u32,
    /// Calls under way at the same time.
    pub relay_calls: usize,
    pub in_flight_per_user: i64,
    /// Pauses after failing calls: the first, and the longest.
    pub backoff_base_ms: u64,
    pub backoff_max_ms: u64,
    /// How overdue a task is before Cloud Tasks is asked whether it still exists.
    pub check_after_ms: u64,
}

impl CloudTasks {
    /// Whether the API is a stand-in on this machine.
    #[must_use]
    pub fn is_local(&self) -> bool {
        url::Url::parse(&self.api_base).is_ok_and(|url| super::is_loopback(&url))
    }
}
