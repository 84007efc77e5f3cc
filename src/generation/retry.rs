//! What follows a failure: another try after a pause, or the end (providers contract 0.2).

use std::time::Duration;

use rand::Rng;

use super::error::{FaultClass, ProviderError};
use crate::settings;

/// What to do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    Retry {
        delay: Duration,
        /// Whether it uses up one of the job's tries.
        counts: bool,
    },
    GiveUp,
}

/// Decides about a failure of a job that failed `tries` times before and was claimed `claim_no`
/// times. A task that runs upstream is paid for already, so failing to look at it costs no try: its
/// budget and the deadline bound it.
#[must_use]
pub fn decide(
    error: &ProviderError,
    tries: i32,
    claim_no: i32,
    has_task: bool,
    jobs: &settings::Jobs,
) -> Decision {
    let failures = tries.saturating_add(1);
    match error.class {
        FaultClass::Transient if has_task && !error.forgets_task => Decision::Retry {
            delay: at_least(error, pause(claim_no.saturating_sub(1), jobs)),
            counts: false,
        },
        // It may be paid for already: once more is tolerable, again and again is not.
        FaultClass::Transient if error.may_have_run && tries > 0 => Decision::GiveUp,
        FaultClass::Transient if failures < jobs.max_tries => Decision::Retry {
            delay: at_least(error, pause(tries, jobs)),
            counts: true,
        },
        FaultClass::BadUpstream if tries == 0 && jobs.max_tries > 1 => Decision::Retry {
            delay: pause(tries, jobs),
            counts: true,
        },
        // Being told to wait is not the job's fault; its deadline bounds it.
        FaultClass::RateLimited => Decision::Retry {
            delay: at_least(error, pause(claim_no.saturating_sub(1), jobs)),
            counts: false,
        },
        FaultClass::Transient
        | FaultClass::BadUpstream
        | FaultClass::Operator
        | FaultClass::BadInput
        | FaultClass::Moderated
        | FaultClass::OutOfTime => Decision::GiveUp,
    }
}

/// What upstream asks for, but never less than our own pause.
fn at_least(error: &ProviderError, pause: Duration) -> Duration {
    error.retry_after.unwrap_or_default().max(pause)
}

/// `base * 2^n`, at most the maximum, spread by a fifth so that failures do not come back in step.
fn pause(n: i32, jobs: &settings::Jobs) -> Duration {
    let doubled = 2_u64.saturating_pow(u32::try_from(n.clamp(0, 20)).unwrap_or_default());
    let pause_ms = jobs
        .backoff_base_ms
        .saturating_mul(doubled)
        .min(jobs.backoff_max_ms);
    let spread = pause_ms / 5;
    let jitter = rand::rng().random_range(0..=spread.saturating_mul(2));
    Duration::from_millis(pause_ms.saturating_sub(spread).saturating_add(jitter))
}
