//! What runs beside the workers of a process: the duties, the relay, and the cut at the end of a drain.

use std::{sync::Arc, time::Duration};

use loco_rs::{Result, app::AppContext};

use super::components::Relaying;
use crate::{
    generation::gates::Gates,
    jobs::{
        duties::{self, Bench, Duty},
        leases::Leases,
    },
    queue::{self, handlers::Handlers},
    settings::Settings,
    storage::{Storage, deletions},
};

/// Says that this process has workers already.
#[derive(Debug, Clone, Copy)]
struct Started;

/// Whether a process that only serves needs workers too, because jobs may be pushed to it.
///
/// # Errors
/// When the context was not made by this application's hooks.
pub fn are_needed_by_server(ctx: &AppContext) -> Result<bool> {
    let is_pushed = Settings::of(ctx)?.queue.accepts_pushes();
    Ok(is_pushed && !ctx.shared_store.contains::<Started>())
}

/// Puts the limits of the settings in force and starts the duties of a process that works jobs; they
/// end with its queue.
///
/// # Errors
/// When the database fails or the context was not made by this application's hooks.
pub async fn start(ctx: &AppContext) -> Result<()> {
    ctx.shared_store.insert(Started);
    let settings = Settings::of(ctx)?;
    Gates::configure(&ctx.db, &settings).await?;
    let stop = Handlers::of(ctx)?.stop_token();
    super::worker_metrics::start(ctx, stop.clone())?;
    let leases = Leases::of(ctx)?;
    let jobs = &settings.jobs;
    let drain = Duration::from_millis(jobs.shutdown_ms.saturating_sub(jobs.hand_back_ms));
    let stopped = stop.clone();
    tokio::spawn(async move {
        stopped.cancelled().await;
        tokio::time::sleep(drain).await;
        leases.cut_all();
    });
    let bench = Bench {
        db: ctx.db.clone(),
        carrier: queue::carrier(ctx)?,
        settings: Arc::clone(&settings),
    };
    let mut list = duties::own(Arc::new(bench));
    let (db, storage) = (ctx.db.clone(), Storage::of(ctx)?);
    list.push(Duty::new(
        "object deletions",
        settings.jobs.cleanup_interval_ms,
        move || deletions::run(db.clone(), Arc::clone(&storage)),
    ));
    if let Some(Relaying { relay, wake }) = ctx.shared_store.get::<Relaying>() {
        let every = settings.queue.cloud_tasks.relay_interval_ms;
        let turn = move || {
            let relay = Arc::clone(&relay);
            async move { relay.turn().await }
        };
        list.push(Duty::new("outbox relay", every, turn).woken_by(wake));
    }
    let pool = ctx.db.get_postgres_connection_pool().clone();
    let patience = Duration::from_millis(settings.jobs.leader_patience_ms);
    tokio::spawn(duties::lead(pool, list, patience, stop));
    Ok(())
}
