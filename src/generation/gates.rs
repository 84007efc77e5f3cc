//! Circuit breakers of providers: what calls report, and what the door asks.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use sea_orm::{DatabaseConnection, DbErr};
use tokio::sync::Mutex;

use super::{
    RequestError,
    error::{FaultClass, ProviderError},
    health::Health,
    registry,
};
use crate::{
    jobs::JobError,
    models::{
        jobs::Claimed,
        provider_gates::{BreakerRule, Entity, Limits},
    },
    settings::{Breaker, Settings},
};

/// How old the knowledge of open breakers may be at the door; it spares admissions a round trip.
const FRESH_FOR: Duration = Duration::from_secs(1);

/// The breakers as this process sees them. Their state is in the database: a provider that fails in
/// one process is left alone by all.
pub struct Gates {
    db: DatabaseConnection,
    rule: BreakerRule,
    known: Mutex<Known>,
    health: Health,
}

#[derive(Default)]
struct Known {
    read_at: Option<Instant>,
    open_until: HashMap<String, Instant>,
}

impl Gates {
    /// The breakers, by the rule of the settings.
    #[must_use]
    pub fn new(db: DatabaseConnection, breaker: &Breaker) -> Self {
        let millis = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        Self {
            health: Health::new(db.clone()),
            db,
            rule: BreakerRule {
                failures: breaker.failures,
                window_ms: millis(breaker.window_ms),
                open_ms: millis(breaker.open_ms),
                max_open_ms: millis(breaker.max_open_ms),
            },
            known: Mutex::default(),
        }
    }

    /// Puts the limits of the settings in force for all processes.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn configure(db: &DatabaseConnection, settings: &Settings) -> Result<(), DbErr> {
        let limits: Vec<Limits<'_>> = registry::limits(&settings.providers)
            .into_iter()
            .map(|(provider, limits)| Limits {
                provider,
                max_running: limits.max_running,
                starts_per_minute: limits.starts_per_minute,
            })
            .collect();
        Entity::configure(db, &limits).await
    }

    /// Refuses work for a provider that is known to be down, before anything is written.
    ///
    /// # Errors
    /// [`RequestError::Suspended`], and database errors.
    pub async fn check(&self, provider: &str) -> Result<(), RequestError> {
        let mut known = self.known.lock().await;
        let now = Instant::now();
        if known.read_at.is_none_or(|at| now - at > FRESH_FOR) {
            let open = Entity::suspended(&self.db).await.map_err(JobError::from)?;
            known.open_until = open
                .into_iter()
                .map(|open| {
                    let rest = u64::try_from(open.remaining_ms).unwrap_or_default();
                    (open.provider, now + Duration::from_millis(rest))
                })
                .collect();
            known.read_at = Some(now);
        }
        match known.open_until.get(provider) {
            Some(until) if *until > now => Err(RequestError::Suspended {
                provider: provider.to_owned(),
                retry_in: *until - now,
            }),
            _ => Ok(()),
        }
    }

    /// Reports how a call to a job's provider went. What the request itself or its content is to
    /// blame for, and being told to wait, says nothing about the provider.
    pub async fn observe<T>(&self, job: &Claimed, outcome: &Result<T, ProviderError>) {
        self.health.observe(&job.provider, outcome).await;
        let noted = match outcome {
            Ok(_) if job.is_provider_suspect => Entity::note_success(&self.db, &job.provider).await,
            Err(error) if is_outage(error) => {
                let opened = Entity::note_failure(&self.db, &job.provider, self.rule).await;
                opened.map(|opened| {
                    if let Some(open_ms) = opened {
                        tracing::error!(
                            provider.name = job.provider,
                            error.detail = error.detail,
                            open_ms,
                            "a provider fails again and again and is left alone"
                        );
                    }
                })
            }
            _ => Ok(()),
        };
        if let Err(error) = noted {
            tracing::warn!(%error, "the state of a provider could not be noted");
        }
    }
}

const fn is_outage(error: &ProviderError) -> bool {
    // A task that failed was taken and looked at: the provider itself answers.
    !error.forgets_task && matches!(error.class, FaultClass::Transient | FaultClass::Operator)
}
