//! What runs beside the workers of a process: the duties, and the cut at the end of a drain.

use std::{sync::Arc, time::Duration};

use loco_rs::{Error, Result, app::AppContext};

use crate::{
    jobs::{
        duties::{self, Bench, Duty},
        leases::Leases,
    },
    queue::{self, apalis::ApalisQueue},
    settings::Settings,
    storage::{Storage, deletions},
};

/// Time that handing jobs back may take at the end of a drain.
const HAND_BACK: Duration = Duration::from_millis(750);

/// Starts the duties of a worker process; they end with its queue.
///
/// # Errors
/// When the context was not made by this application's hooks.
pub fn start(ctx: &AppContext) -> Result<()> {
    let settings = Settings::of(ctx)?;
    let queue = ctx
        .shared_store
        .get::<ApalisQueue>()
        .ok_or_else(|| Error::string("the queue is missing from the context"))?;
    let stop = queue.stop_token();
    super::worker_metrics::start(ctx, stop.clone())?;
    let leases = Leases::of(ctx)?;
    let drain = Duration::from_millis(settings.jobs.shutdown_ms).saturating_sub(HAND_BACK);
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
    let pool = ctx.db.get_postgres_connection_pool().clone();
    tokio::spawn(duties::lead(pool, list, stop));
    Ok(())
}
