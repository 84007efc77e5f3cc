//! Calls to providers, counted for the metrics of this process.

use std::time::Instant;

use super::error::ProviderError;
use crate::telemetry::metrics;

/// Waits for a call to a provider and counts it with its duration and outcome.
pub(super) async fn measured<T>(
    provider: &str,
    call: &'static str,
    act: impl Future<Output = Result<T, ProviderError>>,
) -> Result<T, ProviderError> {
    let started = Instant::now();
    let outcome = act.await;
    let word = outcome
        .as_ref()
        .map_or_else(|error| error.class.code(), |_| "ok");
    metrics::provider_call(provider, call, word, started.elapsed());
    outcome
}
