//! `cargo loco task jobs_purge [deliveries_days:<n>] [events_days:<n>]`: deletes what is finished and kept
//! long enough, now and completely. Jobs and everything about credits stay.

use async_trait::async_trait;
use loco_rs::prelude::*;

use super::number_of;
use crate::{
    models::{auth_sessions, idempotency_keys, job_events},
    queue,
    settings::Settings,
};

/// Rows deleted by one statement.
const BATCH: i64 = 5_000;

/// Purges old rows.
pub struct JobsPurge;

#[async_trait]
impl Task for JobsPurge {
    fn task(&self) -> TaskInfo {
        TaskInfo {
            name: "jobs_purge".to_owned(),
            detail: "Delete finished deliveries, old events, expired keys and log-ins: \
                     [deliveries_days:<n>] [events_days:<n>], default as in the settings"
                .to_owned(),
        }
    }

    async fn run(&self, ctx: &AppContext, vars: &task::Vars) -> Result<()> {
        let settings = Settings::of(ctx)?;
        let days = |given: Option<i64>, default: u32| {
            i32::try_from(given.unwrap_or(i64::from(default))).unwrap_or(i32::MAX)
        };
        let delivery_days = days(
            number_of(vars, "deliveries_days")?,
            settings.queue.retention_days,
        );
        let event_days = days(
            number_of(vars, "events_days")?,
            settings.jobs.event_retention_days,
        );
        let (db, carrier) = (&ctx.db, queue::carrier(ctx)?);
        let deliveries = all(|| carrier.purge(delivery_days, BATCH)).await?;
        let events = all(|| job_events::Entity::purge(db, event_days, BATCH)).await?;
        let keys = all(|| idempotency_keys::Entity::purge(db, BATCH)).await?;
        let sessions = all(|| auth_sessions::Entity::purge(db, BATCH)).await?;
        let tokens = all(|| auth_sessions::Entity::purge_tokens(db, BATCH)).await?;
        println!("Finished deliveries older than {delivery_days} days: {deliveries} deleted.");
        println!("Events older than {event_days} days: {events} deleted.");
        println!("Expired idempotency keys: {keys} deleted.");
        println!("Expired log-ins: {sessions} deleted, with {tokens} single refresh tokens.");
        Ok(())
    }
}

/// Repeats a purge until nothing is left; gives how much went.
async fn all<F>(mut purge: impl FnMut() -> F) -> Result<u64>
where
    F: Future<Output = std::result::Result<u64, sea_orm::DbErr>>,
{
    let mut sum = 0_u64;
    loop {
        let gone = purge().await?;
        sum = sum.saturating_add(gone);
        if gone == 0 {
            return Ok(sum);
        }
    }
}
