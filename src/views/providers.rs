//! `GET /api/health/providers`.

use serde::Serialize;

/// How a provider is.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProviderView {
    pub provider: &'static str,
    pub account: &'static str,
    pub status: String,
    pub configured: bool,
    pub key_variable: String,
    /// What it really does here; the demo provider's work is not among it.
    pub kinds: Vec<&'static str>,
    pub suspended_ms: Option<i64>,
    pub last_fault: Option<FaultView>,
}

/// What was last wrong with our account there.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FaultView {
    pub kind: String,
    /// What upstream said, without keys, prompts and addresses.
    pub detail: String,
    pub since: String,
    pub last_at: String,
    /// When work was taken again; null while the fault stands.
    pub over_at: Option<String>,
}

/// All providers.
#[derive(Debug, Serialize)]
pub struct ProvidersView {
    pub providers: Vec<ProviderView>,
}
