//! Periodic duties of worker processes. One process at a time leads, by an advisory lock that its
//! death frees; each duty is one file with an interval and a batch limit.

pub mod audit;
pub mod counters;
pub mod deliveries;
pub mod expired_keys;
pub mod expired_sessions;
pub mod mails;
pub mod old_deliveries;
pub mod old_events;
pub mod totals;

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use sea_orm::{DatabaseConnection, DbErr};
use sqlx::{Connection, PgConnection, PgPool};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{queue::Carrier, settings::Settings};

/// Key of the leader's advisory lock.
pub const LEADER_LOCK: i64 = 0x6461_7967_0001;
/// How often a process that does not lead tries to, and a leader proves that its lock lives.
const BEAT: Duration = Duration::from_secs(1);
/// Ends the connection of a leader that no longer proves itself: a frozen process keeps its connections,
/// and its lock with them. Gives how many there were.
const UNSEAT: &str = "
    select count(pg_terminate_backend(a.pid)) from pg_locks l join pg_stat_activity a on a.pid = l.pid
    where l.locktype = 'advisory' and l.granted and l.objsubid = 1
      and l.database = (select oid from pg_database where datname = current_database())
      and (l.classid::bigint << 32) | l.objid::bigint = $1
      and a.state = 'idle' and a.state_change < clock_timestamp() - make_interval(secs => $2)";
/// Rows that a purging duty deletes by one statement: short locks, short transactions.
const BATCH: u64 = 1_000;
/// Statements of one turn; what is left goes at the next.
const BATCHES: u32 = 50;

/// What the duties of this room work with.
pub struct Bench {
    pub db: DatabaseConnection,
    pub carrier: Arc<dyn Carrier>,
    pub settings: Arc<Settings>,
}

/// Something to do at intervals, by one process at a time.
#[derive(Clone)]
pub struct Duty {
    name: &'static str,
    every: Duration,
    wake: Option<Arc<Notify>>,
    turn: Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>,
}

impl Duty {
    /// A duty that does `turn` every `every_ms` milliseconds; a turn that fails is tried again at
    /// the next.
    pub fn new<F, E>(
        name: &'static str,
        every_ms: u64,
        turn: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: std::fmt::Display,
    {
        Self {
            name,
            every: Duration::from_millis(every_ms),
            wake: None,
            turn: Arc::new(move || {
                let turn = turn();
                Box::pin(async move { turn.await.map_err(|error| error.to_string()) })
            }),
        }
    }

    /// Has a turn also whenever `wake` is notified.
    #[must_use]
    pub fn woken_by(mut self, wake: Arc<Notify>) -> Self {
        self.wake = Some(wake);
        self
    }

    async fn repeat(self) {
        let mut interval = tokio::time::interval(self.every);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            match &self.wake {
                None => {
                    interval.tick().await;
                }
                Some(wake) => tokio::select! {
                    _ = interval.tick() => {}
                    () = wake.notified() => {}
                },
            }
            if let Err(error) = (self.turn)().await {
                tracing::warn!(duty = self.name, error, "a duty failed");
            }
        }
    }
}

/// The duties of this room.
#[must_use]
pub fn own(bench: Arc<Bench>) -> Vec<Duty> {
    let jobs = &bench.settings.jobs;
    let (deliver, clean, check) = (
        jobs.duty_interval_ms,
        jobs.cleanup_interval_ms,
        jobs.audit_interval_ms,
    );
    vec![
        on(&bench, "deliveries", deliver, deliveries::run),
        on(&bench, "mails", deliver, mails::run),
        on(&bench, "old deliveries", clean, old_deliveries::run),
        on(&bench, "old events", clean, old_events::run),
        on(&bench, "expired keys", clean, expired_keys::run),
        on(&bench, "expired sessions", clean, expired_sessions::run),
        on(&bench, "totals", clean, totals::run),
        on(&bench, "audit", check, audit::run),
        on(&bench, "counters", clean, counters::run),
    ]
}

/// A duty that works with the bench.
fn on<F>(bench: &Arc<Bench>, name: &'static str, every_ms: u64, turn: fn(Arc<Bench>) -> F) -> Duty
where
    F: Future<Output = Result<(), DbErr>> + Send + 'static,
{
    let bench = Arc::clone(bench);
    Duty::new(name, every_ms, move || turn(Arc::clone(&bench)))
}

/// Repeats a purge of one batch until it finds less, at most `BATCHES` times; gives how many rows went.
async fn in_batches<F>(mut purge: impl FnMut(i64) -> F) -> Result<u64, DbErr>
where
    F: Future<Output = Result<u64, DbErr>>,
{
    let mut sum = 0_u64;
    for _ in 0..BATCHES {
        let gone = purge(i64::try_from(BATCH).unwrap_or(i64::MAX)).await?;
        sum = sum.saturating_add(gone);
        if gone < BATCH {
            break;
        }
    }
    Ok(sum)
}

/// Leads the duties whenever this process can, until `stop`. A leader that has not been heard of for
/// `patience` has to give way.
pub async fn lead(pool: PgPool, duties: Vec<Duty>, patience: Duration, stop: CancellationToken) {
    while !stop.is_cancelled() {
        if let Err(error) = lead_once(&pool, &duties, patience, &stop).await {
            tracing::warn!(%error, "the duties lost their database connection and start again");
        }
        tokio::select! {
            () = tokio::time::sleep(BEAT) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Takes the lead if it is free and keeps it while its connection lives.
async fn lead_once(
    pool: &PgPool,
    duties: &[Duty],
    patience: Duration,
    stop: &CancellationToken,
) -> Result<(), sqlx::Error> {
    // A connection of its own: the lock lives and dies with it, not with a pooled one.
    let mut lock = PgConnection::connect_with(&pool.connect_options()).await?;
    let is_leader: bool = sqlx::query_scalar("select pg_try_advisory_lock($1)")
        .bind(LEADER_LOCK)
        .fetch_one(&mut lock)
        .await?;
    if !is_leader {
        let unseated: i64 = sqlx::query_scalar(UNSEAT)
            .bind(LEADER_LOCK)
            .bind(patience.as_secs_f64())
            .fetch_one(&mut lock)
            .await?;
        if unseated > 0 {
            tracing::warn!("the leader of the duties was not heard of; another process takes over");
        }
        return lock.close().await;
    }
    tracing::debug!("this process leads the duties");
    let mut turns = tokio::task::JoinSet::new();
    for duty in duties {
        turns.spawn(duty.clone().repeat());
    }
    // Dropping the set on return ends the turns with the lead.
    loop {
        tokio::select! {
            () = tokio::time::sleep(BEAT) => lock.ping().await?,
            () = stop.cancelled() => return lock.close().await,
        }
    }
}
