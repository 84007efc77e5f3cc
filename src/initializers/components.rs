//! Builds what the rooms need and puts it into the context. Runs twice in `cargo loco start`, so it
//! opens no connection and starts nothing.

use std::{sync::Arc, time::Duration};

use loco_rs::{Error, Result, app::AppContext, bgworker::Queue};

use crate::{
    auth::{passwords::Passwords, tokens::TokenKeys},
    generation::{pipeline::Pipeline, registry::Registry},
    jobs::leases::Leases,
    net::GuardedFetcher,
    queue::{Carrier, apalis::ApalisQueue},
    settings::Settings,
    storage::Storage,
};

/// Puts settings, keys, storage, providers, queue and pipeline into the context.
///
/// # Errors
/// When a part cannot be made from the settings.
pub fn install(ctx: AppContext) -> Result<AppContext> {
    let settings: Arc<Settings> = Arc::new(ctx.config.settings()?);
    let public_url = settings
        .http
        .public_url
        .as_deref()
        .map_or_else(|| local_url(ctx.config.server.port), ToOwned::to_owned);
    let public_url = public_url.trim_end_matches('/');
    let secret = settings
        .auth
        .hs256_secret()
        .ok_or_else(|| Error::string("no token secret is set"))?;
    let keys = TokenKeys::new(secret, &settings.auth, format!("{public_url}/auth/v1"));
    let storage =
        Storage::new(&settings.storage, &format!("{public_url}/files")).map_err(Error::wrap)?;
    let pool = ctx.db.get_postgres_connection_pool().clone();
    let shutdown = Duration::from_millis(settings.jobs.shutdown_ms);
    let queue = ApalisQueue::new(pool, &settings.queue, shutdown);
    let carrier: Arc<dyn Carrier> = Arc::new(queue.clone());
    let storage = Arc::new(storage);
    let registry = Arc::new(Registry::new(&settings).map_err(Error::wrap)?);
    let pipeline = Pipeline {
        db: ctx.db.clone(),
        carrier: Arc::clone(&carrier),
        settings: Arc::clone(&settings),
        storage: Arc::clone(&storage),
        registry: Arc::clone(&registry),
        fetcher: GuardedFetcher::new(concat!("daygen/", env!("CARGO_PKG_VERSION")))
            .map_err(Error::wrap)?,
    };
    let shared = &ctx.shared_store;
    shared.insert(Arc::new(keys));
    shared.insert(Arc::new(Passwords::new(settings.auth.hashing_slots)));
    shared.insert(Arc::new(Leases::new(ctx.db.clone(), &settings.jobs)));
    shared.insert(Arc::new(pipeline));
    shared.insert(registry);
    shared.insert(storage);
    shared.insert(carrier);
    shared.insert(queue.clone());
    shared.insert(settings);
    let queue = Arc::new(Queue::from_provider(Arc::new(queue)));
    Ok(ctx.into_builder().queue_provider(queue).build())
}

/// Where this machine's browser finds a listener of ours.
#[must_use]
pub fn local_url(port: impl std::fmt::Display) -> String {
    format!("http://localhost:{port}")
}
