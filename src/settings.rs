//! Typed settings: the `settings:` part of `config/*.yaml`, parsed once and validated at boot.
//!
//! Nothing else in the service reads the environment. Empty texts mean "not set".

mod carriers;
mod identity;
mod queue;
mod secret;
mod sign_in;
mod validate;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use loco_rs::{app::AppContext, config::Config};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

pub use identity::{Google, Identity, Jwks, Supabase};
pub use queue::{CloudTasks, Queue};
pub use secret::Secret;
pub use sign_in::{AuthLimits, Mail, Rate, SmtpTls};
pub use validate::{Fault, is_embedded, is_loopback, validate};

/// All settings of the service.
#[derive(Debug, Clone, Deserialize)]
pub struct Settings {
    /// Folder of everything the embedded parts keep (database, objects, generated secrets).
    pub home: PathBuf,
    pub database: Database,
    pub http: Http,
    pub auth: Auth,
    pub identity: Identity,
    pub mail: Mail,
    pub credits: Credits,
    pub storage: Storage,
    pub jobs: Jobs,
    pub queue: Queue,
    pub realtime: Realtime,
    pub generation: Generation,
    pub providers: Providers,
}

/// Addresses and waits around PostgreSQL beyond what Loco's own section holds.
#[derive(Debug, Clone, Deserialize)]
pub struct Database {
    /// Direct address for migrations, queue, LISTEN and locks when `DATABASE_URL` is a pooler.
    #[serde(deserialize_with = "optional")]
    pub direct_url: Option<Secret>,
    /// Folder of the PostgreSQL programs for the embedded cluster.
    #[serde(deserialize_with = "optional")]
    pub pg_bindir: Option<PathBuf>,
    pub start_wait_ms: u64,
    #[serde(deserialize_with = "flag")]
    pub skip_health_check: bool,
    pub health_timeout_ms: u64,
    /// Set at boot when the embedded cluster is in use.
    #[serde(default)]
    pub is_embedded: bool,
}

/// The HTTP edge.
#[derive(Debug, Clone, Deserialize)]
pub struct Http {
    /// Public base address of the API, without trailing slash.
    #[serde(deserialize_with = "optional")]
    pub public_url: Option<String>,
    pub frontend_url: String,
    #[serde(deserialize_with = "list")]
    pub cors_origins: Vec<String>,
    pub body_limit_bytes: usize,
    pub request_timeout_ms: u64,
    pub header_timeout_ms: u64,
    pub shutdown_ms: u64,
    #[serde(deserialize_with = "list")]
    pub trusted_proxies: Vec<String>,
    pub metrics_access: MetricsAccess,
    /// Address and port where a worker process shows its metrics.
    #[serde(deserialize_with = "optional")]
    pub worker_metrics_binding: Option<String>,
    /// Hours the answer of a request with an idempotency key is replayed.
    pub idempotency_hours: u32,
    /// Milliseconds a key is held for a request that works outside the database first.
    pub idempotency_lease_ms: u64,
}

/// Who reads the metrics without being an admin or knowing the internal key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MetricsAccess {
    /// Anybody.
    Open,
    /// Programs on this machine that come without a proxy.
    Loopback,
    /// Nobody.
    Guarded,
}

/// Identity and tokens.
#[derive(Debug, Clone, Deserialize)]
pub struct Auth {
    #[serde(deserialize_with = "optional")]
    pub supabase_jwt_secret: Option<Secret>,
    #[serde(deserialize_with = "optional")]
    pub jwt_secret: Option<Secret>,
    #[serde(deserialize_with = "optional")]
    pub issuer: Option<String>,
    pub audience: String,
    #[serde(deserialize_with = "optional")]
    pub anon_key: Option<Secret>,
    pub access_token_ttl_s: u32,
    pub refresh_token_ttl_days: u32,
    pub refresh_reuse_window_s: u32,
    pub hashing_slots: usize,
    /// Whether a sign-up with a password has to be confirmed by mail before its first log-in.
    #[serde(deserialize_with = "flag")]
    pub confirm_email: bool,
    /// Addresses beside the frontend's that a sign-in may lead back to.
    #[serde(deserialize_with = "list")]
    pub redirect_urls: Vec<String>,
    /// Addresses in place of which a reset link shows the service's own page.
    #[serde(deserialize_with = "list")]
    pub own_reset_page_for: Vec<String>,
    /// Seconds a mailed link and its code are good; those that confirm a sign-up have their own time.
    pub link_ttl_s: u32,
    pub confirmation_ttl_s: u32,
    pub limits: AuthLimits,
}

impl Auth {
    /// The HS256 secret in force: `SUPABASE_JWT_SECRET`, else `JWT_SECRET` (platform contract 2.1).
    #[must_use]
    pub fn hs256_secret(&self) -> Option<&Secret> {
        self.supabase_jwt_secret
            .as_ref()
            .or(self.jwt_secret.as_ref())
    }
}

/// Credits: grants, grace and prices, all in whole credits.
#[derive(Debug, Clone, Deserialize)]
pub struct Credits {
    pub welcome: i64,
    pub grace: i64,
    pub prices: Prices,
}

/// Price of one unit of each kind of work.
#[derive(Debug, Clone, Deserialize)]
pub struct Prices {
    pub image: i64,
    pub video: i64,
    pub upscale: i64,
    pub batch_prompt: i64,
    pub scene: i64,
}

/// Object storage: R2, any S3, or the embedded one.
#[derive(Debug, Clone, Deserialize)]
pub struct Storage {
    #[serde(deserialize_with = "optional")]
    pub account_id: Option<String>,
    #[serde(deserialize_with = "optional")]
    pub access_key_id: Option<String>,
    #[serde(deserialize_with = "optional")]
    pub secret_access_key: Option<Secret>,
    pub bucket: String,
    #[serde(deserialize_with = "optional")]
    pub public_url: Option<String>,
    #[serde(deserialize_with = "optional")]
    pub endpoint: Option<String>,
    pub timeout_ms: u64,
    pub attempts: u32,
    pub deleted_retention_days: u32,
}

impl Storage {
    /// Whether a real S3 is named; otherwise development uses the embedded one.
    #[must_use]
    pub fn is_external(&self) -> bool {
        self.access_key_id.is_some()
    }
}

/// Leases, tries, limits and duties of generation jobs.
#[derive(Debug, Clone, Deserialize)]
pub struct Jobs {
    pub heartbeat_ms: u64,
    pub missed_heartbeats: u32,
    pub max_tries: i32,
    pub backoff_base_ms: u64,
    pub backoff_max_ms: u64,
    pub max_rescues: i32,
    pub deadline_ms: u64,
    /// How long one step of a batch begins new items.
    pub batch_turn_ms: u64,
    pub max_running_per_user: i64,
    pub max_queued_per_user: i64,
    pub duty_interval_ms: u64,
    pub cleanup_interval_ms: u64,
    pub audit_interval_ms: u64,
    pub shutdown_ms: u64,
    /// Days the event log is kept for late readers.
    pub event_retention_days: u32,
    /// Milliseconds one look at the figures serves everybody who asks for them.
    pub figures_cache_ms: u64,
}

impl Jobs {
    /// How long a lease holds without a heartbeat.
    #[must_use]
    pub fn lease(&self) -> Duration {
        Duration::from_millis(self.heartbeat_ms).saturating_mul(self.missed_heartbeats)
    }
}

/// Live updates: streams, sockets and waiting requests.
#[derive(Debug, Clone, Deserialize)]
pub struct Realtime {
    pub announce_pause_ms: u64,
    pub net_interval_ms: u64,
    pub page_events: u32,
    pub buffer_events: usize,
    pub keep_alive_ms: u64,
    pub retry_ms: u64,
    pub max_connections: usize,
    pub streams_per_user: usize,
    pub sockets_per_user: usize,
    pub waits_per_user: usize,
    pub socket_payload_bytes: usize,
    pub ping_interval_ms: u64,
    pub ping_timeout_ms: u64,
    pub connect_timeout_ms: u64,
    /// Milliseconds between looks at whether a connected user may stay.
    pub recheck_ms: u64,
}

/// Limits around generation.
#[derive(Debug, Clone, Deserialize)]
pub struct Generation {
    /// Whether routes without a provider key are answered by the demo provider.
    pub demo: bool,
    pub max_reference_bytes: u64,
    pub max_references: usize,
    /// Whether users' addresses of pictures may be on this machine; for tests.
    pub loopback_references: bool,
    pub max_result_bytes: u64,
    pub breaker: Breaker,
}

/// When a failing provider is left alone, and for how long.
#[derive(Debug, Clone, Deserialize)]
pub struct Breaker {
    /// Failures in a row that open the breaker.
    pub failures: i32,
    /// Without a failure for so long, the count begins anew.
    pub window_ms: u64,
    /// How long it stays open, doubled each time it opens again.
    pub open_ms: u64,
    pub max_open_ms: u64,
}

/// One block per upstream provider.
#[derive(Debug, Clone, Deserialize)]
pub struct Providers {
    pub flux: Flux,
}

/// Black Forest Labs.
#[derive(Debug, Clone, Deserialize)]
pub struct Flux {
    #[serde(deserialize_with = "optional")]
    pub api_key: Option<Secret>,
    pub base_url: String,
    #[serde(deserialize_with = "list")]
    pub poll_hosts: Vec<String>,
    #[serde(deserialize_with = "list")]
    pub result_hosts: Vec<String>,
    pub call_timeout_ms: u64,
    pub poll_interval_ms: u64,
    pub budget_ms: u64,
    /// Public model id → upstream model id.
    pub models: BTreeMap<String, String>,
    #[serde(deserialize_with = "optional")]
    pub edit_model: Option<String>,
    pub limits: ProviderLimits,
}

/// How much of a provider all processes together may use.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct ProviderLimits {
    /// Jobs that run at the same time, those that wait for the provider included.
    pub max_running: Option<i32>,
    /// Jobs that start in a minute.
    pub starts_per_minute: Option<i32>,
}

impl Providers {
    /// The limits by provider name.
    #[must_use]
    pub fn limits(&self) -> Vec<(&'static str, ProviderLimits)> {
        vec![("flux", self.flux.limits)]
    }
}

impl Settings {
    /// Reads the settings and leaves them in `config` as one text: the framework hands every request
    /// copies of its configuration, and hundreds of small values would be most of such a copy. The
    /// text is kept because `cargo loco start` makes its context twice.
    ///
    /// # Errors
    /// When a setting is missing or of another type.
    pub fn unpack(config: &mut Config) -> loco_rs::Result<Self> {
        let text = match &config.settings {
            Some(Value::String(text)) => text.clone(),
            Some(settings) => settings.to_string(),
            None => return Err(loco_rs::Error::string("the configuration has no settings")),
        };
        let settings = serde_json::from_str(&text)?;
        config.settings = Some(Value::String(text));
        Ok(settings)
    }

    /// The settings that boot put into the context.
    ///
    /// # Errors
    /// When the context was not made by this application's hooks.
    pub fn of(ctx: &AppContext) -> loco_rs::Result<Arc<Self>> {
        ctx.shared_store
            .get::<Arc<Self>>()
            .ok_or_else(|| loco_rs::Error::string("settings are missing from the context"))
    }
}

/// Reads a text where empty means absent.
fn optional<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: From<String>,
{
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text
        .map(|text| text.trim().to_owned())
        .filter(|text| !text.is_empty())
        .map(T::from))
}

/// Reads a comma-separated list; empty items are left out.
fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok(text
        .split(',')
        .map(|item| item.trim().trim_end_matches('/').to_owned())
        .filter(|item| !item.is_empty())
        .collect())
}

/// Reads a switch that is on only for the exact text `true` (platform contract 11).
fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(String::deserialize(deserializer)? == "true")
}
