//! The rules for the carriers of deliveries.

use url::Url;

use super::{
    CloudTasks, Settings,
    validate::{Fault, base_url},
};

/// Bounds of a dispatch deadline, milliseconds (Cloud Tasks, `Task.dispatch_deadline`).
const DISPATCH_DEADLINE_MS: std::ops::RangeInclusive<u64> = 15_000..=1_800_000;
/// The metadata server has no certificate; it is reached inside the machine's own network only.
const METADATA_HOST: &str = "metadata.google.internal";

/// Lists the faults of carrier settings.
pub(super) fn check(settings: &Settings, faults: &mut Vec<Fault>) {
    let cloud = &settings.queue.cloud_tasks;
    numbers(settings, faults);
    for (name, text) in [
        ("CLOUD_TASKS_API_BASE", &cloud.api_base),
        ("GOOGLE_OIDC_CERTS_URL", &cloud.oidc_certs_url),
    ] {
        if let Err(reason) = base_url(text) {
            faults.push(format!("{name} {reason}"));
        }
    }
    let is_metadata = Url::parse(&cloud.metadata_base)
        .is_ok_and(|url| url.scheme() == "http" && url.host_str() == Some(METADATA_HOST));
    if let Err(reason) = base_url(&cloud.metadata_base)
        && !is_metadata
    {
        faults.push(format!("GOOGLE_METADATA_BASE {reason}"));
    }
    if cloud.enabled {
        needed(settings, cloud, faults);
    }
}

/// What Cloud Tasks cannot do without.
fn needed(settings: &Settings, cloud: &CloudTasks, faults: &mut Vec<Fault>) {
    // Production has named it already.
    let has_address = settings.http.public_url.is_some()
        || faults.iter().any(|fault| fault.starts_with("API_BASE_URL"));
    for (given, name) in [
        (cloud.project.is_some(), "GOOGLE_CLOUD_PROJECT"),
        (cloud.location.is_some(), "GOOGLE_CLOUD_LOCATION"),
        (has_address, "API_BASE_URL"),
        (
            settings.queue.accepts_pushes(),
            "INTERNAL_API_KEY or CLOUD_TASKS_OIDC_SERVICE_ACCOUNT",
        ),
    ] {
        if !given {
            faults.push(format!(
                "{name} is not set, and ENABLE_CLOUD_TASKS needs it"
            ));
        }
    }
    for (name, value) in [
        ("GOOGLE_CLOUD_PROJECT", &cloud.project),
        ("GOOGLE_CLOUD_LOCATION", &cloud.location),
    ] {
        if let Some(value) = value
            && !value
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-:.".contains(&byte))
        {
            faults.push(format!("{name} is not the id of one"));
        }
    }
    if let Some(path) = &cloud.credentials
        && let Err(error) = std::fs::metadata(path)
    {
        faults.push(format!(
            "GOOGLE_APPLICATION_CREDENTIALS names a file that cannot be read: {error}"
        ));
    }
}

fn numbers(settings: &Settings, faults: &mut Vec<Fault>) {
    let cloud = &settings.queue.cloud_tasks;
    for (name, value) in [
        ("push_wait_ms", settings.queue.push_wait_ms),
        ("cloud_tasks.call_timeout_ms", cloud.call_timeout_ms),
        ("cloud_tasks.relay_interval_ms", cloud.relay_interval_ms),
        ("cloud_tasks.relay_batch", u64::from(cloud.relay_batch)),
        ("cloud_tasks.backoff_base_ms", cloud.backoff_base_ms),
        ("cloud_tasks.check_after_ms", cloud.check_after_ms),
    ] {
        if value == 0 {
            faults.push(format!("settings.queue.{name} must be above 0"));
        }
    }
    if cloud.relay_calls == 0 {
        faults.push("settings.queue.cloud_tasks.relay_calls must be above 0".to_owned());
    }
    if cloud.in_flight_per_user < 1 {
        faults.push("settings.queue.cloud_tasks.in_flight_per_user must be at least 1".to_owned());
    }
    if cloud.backoff_max_ms < cloud.backoff_base_ms {
        faults.push(
            "settings.queue.cloud_tasks.backoff_max_ms must not be below backoff_base_ms"
                .to_owned(),
        );
    }
    if !DISPATCH_DEADLINE_MS.contains(&cloud.dispatch_deadline_ms) {
        faults.push(
            "settings.queue.cloud_tasks.dispatch_deadline_ms must be between 15 s and 30 min"
                .to_owned(),
        );
    }
}
