//! How our accounts at providers are: which have a key, and what was last wrong with them. What users
//! see of it is one neutral sentence; this is for operators.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use sea_orm::{DatabaseConnection, DbErr};
use tokio::sync::Mutex;

use super::{
    error::{AccountFault, FaultClass, ProviderError},
    registry::{Registry, account_of, provider_names},
    request::Kind,
};
use crate::{
    models::{provider_faults, provider_gates},
    settings::Settings,
};

/// How often one process writes the same fault, and looks whether others noted one.
const NOTE_PAUSE: Duration = Duration::from_secs(5);

/// Notes faults and their end. The last fault is in the database: workers meet it, operators ask others.
pub struct Health {
    db: DatabaseConnection,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    read_at: Option<Instant>,
    /// Faults that are not over, with the time they were last written by this process.
    standing: HashMap<String, (String, Option<Instant>)>,
}

/// How a provider is.
#[derive(Debug, Clone)]
pub struct ProviderReport {
    pub provider: &'static str,
    /// Its settings block.
    pub account: &'static str,
    /// The variable that holds the key.
    pub key_variable: String,
    pub is_configured: bool,
    /// What it really does here; empty without a key.
    pub kinds: Vec<Kind>,
    /// `OK`, `NOT_CONFIGURED`, `SUSPENDED` (its breaker is open), or the kind of the fault that stands.
    pub status: String,
    /// The last fault, also one that is over.
    pub fault: Option<provider_faults::Model>,
    /// For how long its breaker stays open, milliseconds.
    pub suspended_ms: Option<i64>,
}

/// The word for a fault that is an operator's to mend.
fn kind_of(error: &ProviderError) -> Option<&'static str> {
    match (error.class, error.account) {
        (FaultClass::RateLimited, _) => Some("RATE_LIMITED"),
        (FaultClass::Operator, Some(AccountFault::KeyRejected)) => Some("KEY_REJECTED"),
        (FaultClass::Operator, Some(AccountFault::OutOfCredits)) => Some("OUT_OF_CREDITS"),
        (FaultClass::Operator, Some(AccountFault::Misconfigured) | None) => Some("MISCONFIGURED"),
        _ => None,
    }
}

impl Health {
    /// Notes into this database.
    #[must_use]
    pub fn new(db: DatabaseConnection) -> Self {
        Self {
            db,
            known: Mutex::default(),
        }
    }

    /// Notes how a call went. That it cannot be noted is no failure of the call.
    pub async fn observe<T>(&self, provider: &str, outcome: &Result<T, ProviderError>) {
        let noted = match outcome {
            Ok(_) => self.ended(provider).await,
            Err(error) => match kind_of(error) {
                Some(kind) => self.noted(provider, kind, &error.detail).await,
                None => Ok(()),
            },
        };
        if let Err(error) = noted {
            tracing::warn!(%error, "the health of a provider could not be noted");
        }
    }

    async fn noted(&self, provider: &str, kind: &str, detail: &str) -> Result<(), DbErr> {
        let now = Instant::now();
        {
            let mut known = self.known.lock().await;
            let is_fresh = known.standing.get(provider).is_some_and(|(word, at)| {
                word == kind && at.is_some_and(|at| now.duration_since(at) < NOTE_PAUSE)
            });
            if is_fresh {
                return Ok(());
            }
            let entry = (kind.to_owned(), Some(now));
            known.standing.insert(provider.to_owned(), entry);
        }
        provider_faults::Entity::note(&self.db, provider, kind, detail).await
    }

    async fn ended(&self, provider: &str) -> Result<(), DbErr> {
        let now = Instant::now();
        let mut known = self.known.lock().await;
        if known
            .read_at
            .is_none_or(|at| now.duration_since(at) > NOTE_PAUSE)
        {
            known.read_at = Some(now);
            for fault in provider_faults::Entity::all(&self.db).await? {
                if fault.over_at.is_none() {
                    known
                        .standing
                        .entry(fault.provider)
                        .or_insert((fault.kind, None));
                }
            }
        }
        if known.standing.remove(provider).is_none() {
            return Ok(());
        }
        drop(known);
        tracing::info!(provider.name = provider, "a provider takes work again");
        provider_faults::Entity::end(&self.db, provider).await
    }
}

/// How every provider is.
///
/// # Errors
/// When the database fails.
pub async fn report(
    db: &DatabaseConnection,
    settings: &Settings,
    registry: &Registry,
) -> Result<Vec<ProviderReport>, DbErr> {
    let faults = provider_faults::Entity::all(db).await?;
    let open = provider_gates::Entity::ailing(db).await?;
    let able = registry.able();
    let reports = provider_names().into_iter().map(|provider| {
        let account = account_of(provider);
        let block = settings.providers.get(account);
        let is_configured = block.is_some_and(crate::settings::Account::is_configured);
        let fault = faults
            .iter()
            .find(|fault| fault.provider == provider)
            .cloned();
        let suspended_ms = open
            .iter()
            .find(|open| open.provider == provider)
            .and_then(|open| open.open_ms)
            .filter(|ms| *ms > 0);
        let standing = fault.as_ref().filter(|fault| fault.over_at.is_none());
        let status = match standing {
            _ if !is_configured => "NOT_CONFIGURED",
            Some(fault) => fault.kind.as_str(),
            None if suspended_ms.is_some() => "SUSPENDED",
            None => "OK",
        };
        ProviderReport {
            provider,
            account,
            key_variable: block
                .map(|block| block.key_variable.clone())
                .unwrap_or_default(),
            is_configured,
            kinds: able
                .iter()
                .filter(|(name, _)| *name == provider)
                .map(|(_, kind)| *kind)
                .collect(),
            status: status.to_owned(),
            fault,
            suspended_ms,
        }
    });
    Ok(reports.collect())
}
