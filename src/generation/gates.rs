//! Circuit breakers of providers: what calls report, what the door asks, and who may submit.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex as StdMutex, MutexGuard, PoisonError},
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
        provider_gates::{BreakerRule, Call, Entity, Limits, Passage},
    },
    settings::{Breaker, Settings},
};

/// How old the knowledge of failing providers may be; it spares admissions and items a round trip.
const FRESH_FOR: Duration = Duration::from_secs(1);

/// The breakers as this process sees them. Their state is in the database: a provider that fails in
/// one process is left alone by all.
pub struct Gates {
    db: DatabaseConnection,
    rule: BreakerRule,
    known: Mutex<Known>,
    suspects: StdMutex<Suspects>,
    health: Health,
}

#[derive(Default)]
struct Known {
    read_at: Option<Instant>,
    /// Ends of open times; one that has passed means that the provider may be tried out.
    open_until: HashMap<String, Instant>,
}

/// Providers that failed lately, as far as this process knows. A success of one that is not among
/// them needs no write. They are added after a failure was written and taken out before a success is,
/// so that none that was written is forgotten.
#[derive(Default)]
struct Suspects {
    submit: HashSet<String>,
    poll: HashSet<String>,
}

impl Suspects {
    fn add(&mut self, provider: &str) {
        self.submit.insert(provider.to_owned());
        self.poll.insert(provider.to_owned());
    }

    fn has(&self, provider: &str, call: Call) -> bool {
        match call {
            Call::Submit => self.submit.contains(provider),
            Call::Poll => self.poll.contains(provider),
        }
    }

    /// Takes a provider out as far as a success of this call clears it.
    fn remove(&mut self, provider: &str, call: Call) -> bool {
        match call {
            Call::Submit => {
                self.poll.remove(provider);
                self.submit.remove(provider)
            }
            Call::Poll => self.poll.remove(provider),
        }
    }
}

/// What a call says about its provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Works,
    Fails,
    /// Nothing: it told us to wait, or made something that is of no use.
    Unknown,
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
            suspects: StdMutex::default(),
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
        let open_until = self.open_until(provider).await.map_err(JobError::from)?;
        match open_until.map(|until| until.saturating_duration_since(Instant::now())) {
            Some(retry_in) if !retry_in.is_zero() => Err(RequestError::Suspended {
                provider: provider.to_owned(),
                retry_in,
            }),
            _ => Ok(()),
        }
    }

    /// Asks whether a job that is at work may submit something. A job whose claim was let through for a
    /// trial may.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn pass(&self, job: &Claimed) -> Result<Passage, DbErr> {
        match self.open_until(&job.provider).await? {
            None => Ok(Passage::Free),
            Some(until) => match until.saturating_duration_since(Instant::now()) {
                Duration::ZERO => Entity::pass(&self.db, &job.provider, job.id).await,
                rest => Ok(Passage::Open(
                    i64::try_from(rest.as_millis()).unwrap_or(i64::MAX).max(1),
                )),
            },
        }
    }

    /// When the open time of a provider's breaker ends or ended; nothing when it is closed.
    async fn open_until(&self, provider: &str) -> Result<Option<Instant>, DbErr> {
        let mut known = self.known.lock().await;
        let now = Instant::now();
        if known.read_at.is_none_or(|at| now - at > FRESH_FOR) {
            let ailing = Entity::ailing(&self.db).await?;
            known.open_until.clear();
            for ailing in ailing {
                self.suspects().add(&ailing.provider);
                if let Some(open_ms) = ailing.open_ms {
                    let rest = Duration::from_millis(u64::try_from(open_ms).unwrap_or_default());
                    known.open_until.insert(ailing.provider, now + rest);
                }
            }
            known.read_at = Some(now);
        }
        Ok(known.open_until.get(provider).copied())
    }

    /// Takes over what the claim of a job told about its provider.
    pub fn learn(&self, job: &Claimed) {
        if job.is_provider_suspect {
            self.suspects().add(&job.provider);
        }
    }

    /// Reports how a call to a job's provider went.
    pub async fn observe<T>(&self, job: &Claimed, call: Call, outcome: &Result<T, ProviderError>) {
        // That a task may be looked at does not show that work is taken.
        if call == Call::Submit || outcome.is_err() {
            self.health.observe(&job.provider, outcome).await;
        }
        let noted = match (verdict(outcome), outcome) {
            (Verdict::Works, _) => self.note_success(&job.provider, call).await,
            (Verdict::Fails, Err(error)) => self.note_failure(&job.provider, call, error).await,
            _ if call == Call::Submit && self.suspects().has(&job.provider, call) => {
                Entity::end_probe(&self.db, &job.provider, job.id).await
            }
            _ => Ok(()),
        };
        if let Err(error) = noted {
            tracing::warn!(%error, "the state of a provider could not be noted");
        }
    }

    async fn note_success(&self, provider: &str, call: Call) -> Result<(), DbErr> {
        if !self.suspects().remove(provider, call) {
            return Ok(());
        }
        let noted = Entity::note_success(&self.db, provider, call).await;
        if noted.is_err() {
            self.suspects().add(provider);
        } else if call == Call::Submit {
            // Read anew: an open time that began meanwhile is not ended by an older answer.
            self.known.lock().await.read_at = None;
        }
        noted
    }

    async fn note_failure(
        &self,
        provider: &str,
        call: Call,
        error: &ProviderError,
    ) -> Result<(), DbErr> {
        let opened = Entity::note_failure(&self.db, provider, call, self.rule).await;
        self.suspects().add(provider);
        if let Some(open_ms) = opened? {
            self.known.lock().await.read_at = None;
            tracing::error!(
                provider.name = provider,
                error.detail = error.detail,
                open_ms,
                "a provider fails again and again and is left alone"
            );
        }
        Ok(())
    }

    fn suspects(&self) -> MutexGuard<'_, Suspects> {
        self.suspects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A refusal of the request or its content comes from a provider that works. A task that failed was
/// taken and looked at: the provider itself answers.
const fn verdict<T>(outcome: &Result<T, ProviderError>) -> Verdict {
    let error = match outcome {
        Ok(_) => return Verdict::Works,
        Err(error) => error,
    };
    match error.class {
        FaultClass::Moderated | FaultClass::BadInput => Verdict::Works,
        FaultClass::Transient | FaultClass::Operator if !error.forgets_task => Verdict::Fails,
        FaultClass::Transient
        | FaultClass::Operator
        | FaultClass::BadUpstream
        | FaultClass::RateLimited
        | FaultClass::OutOfTime => Verdict::Unknown,
    }
}
