//! The rules that settings must meet before anything starts. All faults are reported together.

use loco_rs::environment::Environment;
use url::Url;

use super::{Secret, Settings, carriers, identity};

/// Shortest HS256 secret that production accepts, bytes (RFC 7518 section 3.2 asks for the hash's size).
const MIN_SECRET_BYTES: usize = 32;
/// What a request that waits for its job takes at most, with some room.
const LONGEST_REQUEST_MS: u64 = 60_000;
/// Texts that examples use as secrets.
const KNOWN_SECRETS: [&str; 4] = [
    "change-me-in-production",
    "secret",
    "changeme",
    "internal-key",
];

/// One thing that is wrong: which setting (by its variable or key) and why.
pub type Fault = String;

/// Lists every fault of `settings` in `environment`; empty means good to start.
#[must_use]
pub fn validate(settings: &Settings, database_uri: &str, environment: &Environment) -> Vec<Fault> {
    let mut faults = Vec::new();
    numbers(settings, &mut faults);
    live_updates(settings, &mut faults);
    addresses(settings, &mut faults);
    if *environment == Environment::Production {
        production(settings, database_uri, &mut faults);
    }
    carriers::check(settings, &mut faults);
    identity::check(settings, &mut faults);
    faults
}

fn production(settings: &Settings, database_uri: &str, faults: &mut Vec<Fault>) {
    let mut need = |given: bool, name: &str| {
        if !given {
            faults.push(format!("{name} is not set"));
        }
    };
    need(!is_embedded(database_uri), "DATABASE_URL");
    // A Supabase project may sign with keys that it publishes; tokens of our own need a secret.
    need(
        settings.auth.hs256_secret().is_some() || settings.identity.supabase.url.is_some(),
        "SUPABASE_JWT_SECRET or JWT_SECRET",
    );
    need(settings.http.public_url.is_some(), "API_BASE_URL");
    need(
        settings.mail.smtp_host.is_some() || settings.identity.supabase.url.is_some(),
        "SMTP_HOST",
    );
    let storage = &settings.storage;
    need(
        storage.access_key_id.is_some(),
        "CLOUDFLARE_R2_ACCESS_KEY_ID",
    );
    need(
        storage.secret_access_key.is_some(),
        "CLOUDFLARE_R2_SECRET_ACCESS_KEY",
    );
    need(storage.public_url.is_some(), "CLOUDFLARE_R2_PUBLIC_URL");
    need(
        storage.account_id.is_some() || storage.endpoint.is_some(),
        "CLOUDFLARE_R2_ACCOUNT_ID or CLOUDFLARE_R2_ENDPOINT",
    );
    for (name, secret) in [
        ("SUPABASE_JWT_SECRET", &settings.auth.supabase_jwt_secret),
        ("JWT_SECRET", &settings.auth.jwt_secret),
        ("INTERNAL_API_KEY", &settings.queue.internal_api_key),
    ] {
        if let Some(secret) = secret
            && is_weak(secret)
        {
            faults.push(format!(
                "{name} is a known default or shorter than {MIN_SECRET_BYTES} bytes"
            ));
        }
    }
    if settings.identity.dev_login {
        faults.push("ENABLE_DEV_LOGIN must not be set in production".to_owned());
    }
    if settings.generation.demo {
        faults.push("settings.generation.demo must be false in production".to_owned());
    }
    if settings.generation.loopback_references {
        let name = "settings.generation.loopback_references";
        faults.push(format!("{name} must be false in production"));
    }
}

fn is_weak(secret: &Secret) -> bool {
    secret.expose().len() < MIN_SECRET_BYTES || KNOWN_SECRETS.contains(&secret.expose())
}

/// Whether the address is the placeholder that asks for the embedded cluster.
#[must_use]
pub fn is_embedded(database_uri: &str) -> bool {
    database_uri.is_empty() || database_uri == "postgres://embedded"
}

fn numbers(settings: &Settings, faults: &mut Vec<Fault>) {
    let jobs = &settings.jobs;
    let positive = [
        ("settings.jobs.heartbeat_ms", jobs.heartbeat_ms),
        (
            "settings.jobs.missed_heartbeats",
            u64::from(jobs.missed_heartbeats),
        ),
        ("settings.jobs.backoff_base_ms", jobs.backoff_base_ms),
        ("settings.jobs.deadline_ms", jobs.deadline_ms),
        ("settings.jobs.batch_turn_ms", jobs.batch_turn_ms),
        ("settings.jobs.duty_interval_ms", jobs.duty_interval_ms),
        (
            "settings.jobs.cleanup_interval_ms",
            jobs.cleanup_interval_ms,
        ),
        ("settings.jobs.audit_interval_ms", jobs.audit_interval_ms),
        (
            "settings.queue.poll_interval_ms",
            settings.queue.poll_interval_ms,
        ),
        (
            "settings.http.request_timeout_ms",
            settings.http.request_timeout_ms,
        ),
        (
            "settings.http.idempotency_hours",
            u64::from(settings.http.idempotency_hours),
        ),
        (
            "settings.http.idempotency_lease_ms",
            settings.http.idempotency_lease_ms,
        ),
        (
            "settings.jobs.event_retention_days",
            u64::from(settings.jobs.event_retention_days),
        ),
        ("settings.storage.timeout_ms", settings.storage.timeout_ms),
        (
            "settings.providers.flux.poll_interval_ms",
            settings.providers.flux.poll_interval_ms,
        ),
    ];
    for (name, value) in positive {
        if value == 0 {
            faults.push(format!("{name} must be above 0"));
        }
    }
    for (name, value) in [
        ("settings.jobs.max_tries", i64::from(jobs.max_tries)),
        ("settings.jobs.max_rescues", i64::from(jobs.max_rescues)),
        ("MAX_RUNNING_JOBS_PER_USER", jobs.max_running_per_user),
        ("MAX_QUEUED_JOBS_PER_USER", jobs.max_queued_per_user),
    ] {
        if value < 1 {
            faults.push(format!("{name} must be at least 1"));
        }
    }
    for (name, value) in [
        ("settings.credits.welcome", settings.credits.welcome),
        ("USAGE_GRACE_CREDITS", settings.credits.grace),
        (
            "settings.credits.prices.image",
            settings.credits.prices.image,
        ),
        (
            "settings.credits.prices.video",
            settings.credits.prices.video,
        ),
        (
            "settings.credits.prices.upscale",
            settings.credits.prices.upscale,
        ),
        (
            "settings.credits.prices.batch_prompt",
            settings.credits.prices.batch_prompt,
        ),
        (
            "settings.credits.prices.scene",
            settings.credits.prices.scene,
        ),
    ] {
        if value < 0 {
            faults.push(format!("{name} must not be below 0"));
        }
    }
    let breaker = &settings.generation.breaker;
    if breaker.failures < 1 || breaker.open_ms == 0 || breaker.max_open_ms < breaker.open_ms {
        faults.push(
            "settings.generation.breaker needs failures and open_ms above 0, and max_open_ms not below open_ms"
                .to_owned(),
        );
    }
    for (provider, limits) in settings.providers.limits() {
        if limits.max_running.is_some_and(|n| n < 1)
            || limits.starts_per_minute.is_some_and(|n| n < 1)
        {
            faults.push(format!(
                "settings.providers.{provider}.limits must be at least 1, or null"
            ));
        }
    }
    for (queue, slots) in &settings.queue.concurrency {
        if *slots == 0 {
            faults.push(format!(
                "settings.queue.concurrency.{queue} must be at least 1"
            ));
        }
    }
    if settings.auth.hashing_slots == 0 {
        faults.push("settings.auth.hashing_slots must be at least 1".to_owned());
    }
    for (name, rate) in settings.auth.limits.all() {
        if rate.burst == 0 || !rate.every_s.is_finite() || rate.every_s <= 0.0 {
            faults.push(format!(
                "settings.auth.limits.{name} needs burst and every_s above 0"
            ));
        }
    }
    if settings
        .mail
        .from
        .parse::<lettre::message::Mailbox>()
        .is_err()
    {
        faults.push("MAIL_FROM is no sender, like DayGen <no-reply@example.com>".to_owned());
    }
    if settings.storage.bucket.len() < 3 {
        faults.push("CLOUDFLARE_R2_BUCKET_NAME must have at least 3 characters".to_owned());
    }
}

fn live_updates(settings: &Settings, faults: &mut Vec<Fault>) {
    let realtime = &settings.realtime;
    for (name, value) in [
        ("net_interval_ms", realtime.net_interval_ms),
        ("page_events", u64::from(realtime.page_events)),
        ("keep_alive_ms", realtime.keep_alive_ms),
        ("ping_interval_ms", realtime.ping_interval_ms),
        ("ping_timeout_ms", realtime.ping_timeout_ms),
        ("connect_timeout_ms", realtime.connect_timeout_ms),
        ("recheck_ms", realtime.recheck_ms),
    ] {
        if value == 0 {
            faults.push(format!("settings.realtime.{name} must be above 0"));
        }
    }
    for (name, value, least) in [
        ("buffer_events", realtime.buffer_events, 2),
        ("socket_payload_bytes", realtime.socket_payload_bytes, 8192),
    ] {
        if value < least {
            faults.push(format!("settings.realtime.{name} must be at least {least}"));
        }
    }
    if settings.http.request_timeout_ms < LONGEST_REQUEST_MS {
        faults.push(format!(
            "settings.http.request_timeout_ms must be at least {LONGEST_REQUEST_MS}: a request may wait \
             55 s for its job"
        ));
    }
}

fn addresses(settings: &Settings, faults: &mut Vec<Fault>) {
    if let Some(binding) = &settings.http.worker_metrics_binding
        && binding.parse::<std::net::SocketAddr>().is_err()
    {
        faults
            .push("WORKER_METRICS_BINDING is no address and port, like 127.0.0.1:9464".to_owned());
    }
    let mut check = |name: &str, text: &str| {
        if let Err(reason) = base_url(text) {
            faults.push(format!("{name} {reason}"));
        }
    };
    check("BFL_API_BASE", &settings.providers.flux.base_url);
    check("FRONTEND_URL", &settings.http.frontend_url);
    for (name, text) in [
        ("CLOUDFLARE_R2_ENDPOINT", &settings.storage.endpoint),
        ("CLOUDFLARE_R2_PUBLIC_URL", &settings.storage.public_url),
        ("API_BASE_URL", &settings.http.public_url),
    ] {
        if let Some(text) = text {
            check(name, text);
        }
    }
}

/// A base address must be https, or http on loopback.
pub(super) fn base_url(text: &str) -> Result<(), &'static str> {
    let url = Url::parse(text).map_err(|_| "is not an address")?;
    match url.scheme() {
        "https" => Ok(()),
        "http" if is_loopback(&url) => Ok(()),
        "http" => Err("must be https unless it is loopback"),
        _ => Err("must be https"),
    }
}

/// Whether the host of `url` is this machine.
#[must_use]
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}
