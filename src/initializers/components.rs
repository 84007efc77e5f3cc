//! Builds what the rooms need and puts it into the context. Runs twice in `cargo loco start`, so it
//! opens no connection and starts nothing.

use std::{sync::Arc, time::Duration};

use loco_rs::{
    Error, Result,
    app::AppContext,
    bgworker::{Queue, QueueProvider},
};
use sea_orm::{ConnectOptions, Database};
use sqlx::{Connection, PgPool, postgres::PgPoolOptions};
use tokio::sync::Notify;

use super::dev_inbox;
use crate::{
    auth::{
        google::GoogleSignIn,
        google_flow::GoogleFlow,
        identity::Identity,
        internal::InternalGate,
        key_set::{KeySet, Rules},
        limits::Limits,
        local::LocalAccounts,
        local_provider::LocalProvider,
        passwords::Passwords,
        profiles::Profiles,
        supabase::Supabase,
        tokens::TokenKeys,
    },
    generation::{gates::Gates, pipeline::Pipeline, registry::Registry, scenes::Scenes},
    jobs::{figures::FiguresDesk, leases::Leases, lookup::Lookup},
    net::GuardedFetcher,
    queue::{
        Carrier,
        apalis::ApalisQueue,
        cloud_tasks::{CloudTasksClient, CloudTasksQueue, Relay},
    },
    realtime::{Announcer, Hub},
    settings::Settings,
    storage::{Intake, Storage},
};

/// What this service calls itself towards others.
const USER_AGENT: &str = concat!("daygen/", env!("CARGO_PKG_VERSION"));
/// Connections of the carrier: fetching, acknowledging and beating for a few queues.
const CARRIER_CONNECTIONS: u32 = 4;
/// How long a connection rests before it is tested when it is taken.
const TEST_AFTER_REST: Duration = Duration::from_secs(1);

/// Puts settings, keys, storage, providers, queue and pipeline into the context.
///
/// # Errors
/// When a part cannot be made from the settings.
pub async fn install(ctx: AppContext) -> Result<AppContext> {
    let mut ctx = with_own_pool(ctx).await?;
    let settings = Arc::new(Settings::unpack(&mut ctx.config)?);
    let public_url = settings
        .http
        .public_url
        .as_deref()
        .map_or_else(|| local_url(ctx.config.server.port), ToOwned::to_owned);
    let public_url = public_url.trim_end_matches('/');
    let keys = Arc::new(token_keys(&settings, public_url)?);
    let storage =
        Storage::new(&settings.storage, &format!("{public_url}/files")).map_err(Error::wrap)?;
    let pool = carrier_pool(&ctx.config.database.uri)?;
    let shutdown = Duration::from_millis(settings.jobs.shutdown_ms);
    let apalis = ApalisQueue::new(pool, &settings.queue, shutdown);
    let (handlers, bells) = (apalis.handlers(), apalis.bells());
    let (carrier, queue, relay) = carrier(&ctx, &settings, apalis, public_url)?;
    let storage = Arc::new(storage);
    let registry = Arc::new(Registry::new(&settings).map_err(Error::wrap)?);
    let announcer = Announcer::new(ctx.db.clone(), &settings.realtime);
    let address = {
        let storage = Arc::clone(&storage);
        Box::new(move |key: &str| storage.public_url(key))
    };
    let hub = Arc::new(Hub::new(ctx.db.clone(), &settings.realtime, address));
    let leases = Leases::new(ctx.db.clone(), &settings.jobs, announcer.clone());
    let intake = Arc::new(Intake::new(&settings.http, &settings.jobs));
    let pipeline = Pipeline {
        db: ctx.db.clone(),
        announcer: announcer.clone(),
        carrier: Arc::clone(&carrier),
        settings: Arc::clone(&settings),
        storage: Arc::clone(&storage),
        intake: Arc::clone(&intake),
        registry: Arc::clone(&registry),
        fetcher: GuardedFetcher::new(USER_AGENT).map_err(Error::wrap)?,
        gates: Arc::new(Gates::new(ctx.db.clone(), &settings.generation.breaker)),
        scenes: Scenes::default(),
    };
    let shared = &ctx.shared_store;
    let accounts = LocalAccounts::new(
        ctx.db.clone(),
        Arc::clone(&keys),
        Arc::new(Passwords::new(settings.auth.hashing_slots)),
        Arc::clone(&settings),
        Arc::clone(&carrier),
        public_url,
    );
    install_identity(&ctx, &settings, &keys, Arc::new(accounts))?;
    shared.insert(keys);
    shared.insert(Arc::new(Lookup::new(ctx.db.clone())));
    shared.insert(Arc::new(Limits::new(ctx.db.clone(), settings.auth.limits)));
    shared.insert(dev_inbox::transport(&ctx, &settings)?);
    shared.insert(Arc::new(FiguresDesk::new(
        ctx.db.clone(),
        Arc::clone(&carrier),
        &settings.jobs,
    )));
    shared.insert(Arc::new(leases));
    shared.insert(announcer);
    shared.insert(hub);
    shared.insert(Arc::new(pipeline));
    shared.insert(registry);
    shared.insert(storage);
    shared.insert(intake);
    shared.insert(carrier);
    shared.insert(handlers);
    shared.insert(bells);
    if let Some(relay) = relay {
        shared.insert(relay);
    }
    shared.insert(Arc::new(
        InternalGate::new(&settings.queue, public_url, USER_AGENT).map_err(Error::wrap)?,
    ));
    shared.insert(settings);
    let queue = Arc::new(Queue::from_provider(queue));
    Ok(ctx.into_builder().queue_provider(queue).build())
}

/// The keys of access tokens: our secret, the published ones, or both.
fn token_keys(settings: &Settings, public_url: &str) -> Result<TokenKeys> {
    let jwks = &settings.identity.jwks;
    let rules = Rules {
        default_life: Duration::from_secs(jwks.life_s),
        max_life: Duration::from_secs(jwks.life_s),
        last_good: Duration::from_secs(jwks.last_good_s),
        floor: Duration::from_millis(jwks.floor_ms),
        retry: Duration::from_millis(jwks.retry_ms),
        timeout: Duration::from_millis(jwks.timeout_ms),
    };
    let published = settings
        .identity
        .jwks_url()
        .map(|url| KeySet::new(url, rules, USER_AGENT))
        .transpose()
        .map_err(Error::wrap)?;
    let secret = settings.auth.hs256_secret();
    if secret.is_none() && published.is_none() {
        return Err(Error::string("there are no keys to prove tokens with"));
    }
    let issuer = format!("{public_url}/auth/v1");
    Ok(TokenKeys::new(secret, published, settings, issuer))
}

/// Supabase where a project is named, else our own accounts.
fn install_identity(
    ctx: &AppContext,
    settings: &Arc<Settings>,
    keys: &Arc<TokenKeys>,
    accounts: Arc<LocalAccounts>,
) -> Result<()> {
    let google = GoogleSignIn::new(&settings.identity.google, USER_AGENT)
        .map_err(Error::wrap)?
        .map(Arc::new);
    let secret = settings.auth.hs256_secret();
    let flow = GoogleFlow::new(
        &settings.identity.google,
        google.as_ref(),
        secret,
        USER_AGENT,
    )
    .map_err(Error::wrap)?;
    if let Some(flow) = flow {
        ctx.shared_store.insert(Arc::new(flow));
    }
    let identity: Arc<dyn Identity> =
        match Supabase::new(settings, USER_AGENT).map_err(Error::wrap)? {
            Some(supabase) => Arc::new(supabase),
            None => Arc::new(LocalProvider {
                accounts: Arc::clone(&accounts),
                keys: Arc::clone(keys),
                google: google.clone(),
            }),
        };
    let shared = &ctx.shared_store;
    shared.insert(Arc::new(Profiles::new(ctx.db.clone(), identity.keeper())));
    shared.insert(identity);
    shared.insert(accounts);
    if let Some(google) = google {
        shared.insert(google);
    }
    Ok(())
}

/// The carrier in force: for our own rooms, for the framework, and what runs beside it.
type InForce = (Arc<dyn Carrier>, Arc<dyn QueueProvider>, Option<Relaying>);

/// Cloud Tasks over apalis when it is on, else apalis alone.
fn carrier(
    ctx: &AppContext,
    settings: &Settings,
    apalis: ApalisQueue,
    public_url: &str,
) -> Result<InForce> {
    let cloud = &settings.queue.cloud_tasks;
    if !cloud.enabled {
        return Ok((Arc::new(apalis.clone()), Arc::new(apalis), None));
    }
    let queue = CloudTasksQueue::new(ctx.db.clone(), apalis);
    let client = CloudTasksClient::new(&settings.queue, public_url, USER_AGENT)
        .map_err(|error| Error::string(&format!("GOOGLE_APPLICATION_CREDENTIALS: {error}")))?;
    let max_running = settings.jobs.max_running_per_user;
    let wake = queue.wake();
    let relay = Relay::new(
        ctx.db.clone(),
        client,
        &settings.queue,
        max_running,
        Arc::clone(&wake),
    );
    let relaying = Relaying {
        relay: Arc::new(relay),
        wake,
    };
    Ok((Arc::new(queue.clone()), Arc::new(queue), Some(relaying)))
}

/// The relay of the outbox and what wakes it.
#[derive(Clone)]
pub struct Relaying {
    pub relay: Arc<Relay>,
    pub wake: Arc<Notify>,
}

/// The pool of the carrier, which also tests a connection only after it has rested: a delivery is on
/// its way for a few milliseconds, and every ping would be one of its round trips.
fn carrier_pool(uri: &str) -> Result<PgPool> {
    PgPoolOptions::new()
        .max_connections(CARRIER_CONNECTIONS)
        .acquire_timeout(Duration::from_secs(10))
        .test_before_acquire(false)
        .before_acquire(|connection, rested| {
            Box::pin(async move {
                if rested.idle_for > TEST_AFTER_REST {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_lazy(uri)
        .map_err(Error::wrap)
}

/// Replaces the framework's pool by one that tests a connection only after it has rested: a ping
/// before each use doubles the round trips of a request. It opens no connection before the first use.
async fn with_own_pool(ctx: AppContext) -> Result<AppContext> {
    let config = &ctx.config.database;
    let mut options = ConnectOptions::new(&config.uri);
    options
        .max_connections(config.max_connections)
        .min_connections(config.min_connections)
        .connect_timeout(Duration::from_millis(config.connect_timeout))
        .idle_timeout(Duration::from_millis(config.idle_timeout))
        .sqlx_logging(config.enable_logging)
        .test_before_acquire_if_idle_for(TEST_AFTER_REST)
        .connect_lazy(true);
    if let Some(acquire_timeout) = config.acquire_timeout {
        options.acquire_timeout(Duration::from_millis(acquire_timeout));
    }
    let db = Database::connect(options).await?;
    let theirs = ctx.db.get_postgres_connection_pool().clone();
    let builder = AppContext::builder(ctx.environment, db, ctx.config)
        .storage(ctx.storage)
        .cache(ctx.cache)
        .shared_store(ctx.shared_store);
    let builder = match ctx.mailer {
        Some(mailer) => builder.mailer(mailer),
        None => builder,
    };
    theirs.close().await;
    Ok(builder.build())
}

/// Where this machine's browser finds a listener of ours.
#[must_use]
pub fn local_url(port: impl std::fmt::Display) -> String {
    format!("http://localhost:{port}")
}
