//! The relay: makes tasks of the outbox's rows, in fair order, and looks after tasks that do not come.
//!
//! No lock is held and no transaction is open while Cloud Tasks is called. A call that is repeated
//! (its answer was lost, or two processes lead for a moment) meets its own task's name and changes
//! nothing.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use futures_util::{StreamExt, stream};
use rand::Rng;
use sea_orm::{DatabaseConnection, DbErr};
use tokio::sync::Notify;

use super::{
    super::GENERATION_QUEUES,
    client::{CallError, CloudTasksClient, Lookup, NewTask},
};
use crate::{
    models::delivery_outbox::{Entity, Release, ReleaseLimits},
    settings,
};

/// Pauses are spread by this share, so that failures do not come back in step.
const SPREAD: f64 = 0.2;
/// Overdue tasks looked at in one turn.
const CHECK_BATCH: i64 = 20;
/// A single delivery that is rejected is tried again after at most so many longest pauses.
const REJECTED_PAUSES: u32 = 6;
/// Looks at an overdue task: the pause doubles up to this many first pauses. A task whose next try is
/// further away than `LATE` first pauses is replaced.
const MAX_CHECK: u32 = 15;
const LATE: u32 = 5;

/// Tells Cloud Tasks about deliveries.
pub struct Relay {
    db: DatabaseConnection,
    client: CloudTasksClient,
    settings: settings::CloudTasks,
    in_flight_per_user: i64,
    push_wait: Duration,
    wake: Arc<Notify>,
    pauses: Mutex<HashMap<String, Pause>>,
}

/// A queue that is left alone for a while.
#[derive(Debug, Clone, Copy)]
struct Pause {
    until: Instant,
    failures: u32,
}

impl Relay {
    /// A relay of the outbox in `db`. No more jobs of a user are released than may run.
    #[must_use]
    pub fn new(
        db: DatabaseConnection,
        client: CloudTasksClient,
        queue: &settings::Queue,
        max_running_per_user: i64,
        wake: Arc<Notify>,
    ) -> Self {
        let settings = queue.cloud_tasks.clone();
        Self {
            push_wait: Duration::from_millis(queue.push_wait_ms),
            in_flight_per_user: settings.in_flight_per_user.min(max_running_per_user),
            db,
            client,
            settings,
            wake,
            pauses: Mutex::default(),
        }
    }

    /// Asks Cloud Tasks for a task that is not there: whether it answers, and accepts our credentials.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn reach(&self) -> Result<(), CallError> {
        let [queue, ..] = GENERATION_QUEUES;
        self.client.look(queue, "none").await.map(|_| ())
    }

    /// One turn: sends what may go, then looks at overdue tasks.
    ///
    /// # Errors
    /// When the database fails. Failing calls are logged and tried again.
    pub async fn turn(&self) -> Result<(), DbErr> {
        loop {
            let limits = ReleaseLimits {
                in_flight_per_user: self.in_flight_per_user,
                batch: i64::from(self.settings.relay_batch),
                except: self.paused(),
            };
            let rows = Entity::releasable(&self.db, &limits).await?;
            let is_full = u32::try_from(rows.len()).is_ok_and(|n| n >= self.settings.relay_batch);
            // Another delivery brought their jobs; what stands behind them in line may go now.
            let (ended, rows): (Vec<Release>, Vec<Release>) =
                rows.into_iter().partition(|row| row.is_final);
            let has_ended = !ended.is_empty();
            if has_ended {
                let ids = ended.iter().map(|row| row.id).collect();
                Entity::close(&self.db, ids).await?;
            }
            self.release(rows).await?;
            if !is_full && !has_ended {
                break;
            }
        }
        self.check().await
    }

    /// Creates the tasks of these rows, a few at a time, beginning in their order.
    async fn release(&self, rows: Vec<Release>) -> Result<(), DbErr> {
        let mut calls = stream::iter(rows)
            .map(|row| async move {
                // An earlier one of the batch found the queue closed.
                if self.is_paused(&row.queue) {
                    return None;
                }
                let task = NewTask {
                    name: row.task_name(),
                    queue: row.queue.clone(),
                    job_id: row.job_id,
                    schedule: row.is_delayed.then_some(row.not_before),
                };
                Some((self.client.create(&task).await, row))
            })
            .buffer_unordered(self.settings.relay_calls);
        let check_ms = to_i64(self.settings.check_after_ms);
        while let Some(outcome) = calls.next().await {
            match outcome {
                None => {}
                Some((Ok(()), row)) => {
                    self.resume(&row.queue);
                    Entity::sent(&self.db, vec![row.id], check_ms).await?;
                }
                Some((Err(error), row)) => self.failed(&row, &error).await?,
            }
        }
        Ok(())
    }

    /// Keeps the row and decides when it, or its whole queue, is tried again.
    async fn failed(&self, row: &Release, error: &CallError) -> Result<(), DbErr> {
        let queue = row.queue.as_str();
        // Never longer than the pause of its queue.
        let soon_ms = to_i64(millis(self.first().mul_f64(1.0 - SPREAD)));
        let retry_ms = match error {
            CallError::Transient { retry_after, .. } => {
                let pause = self.pause(queue, *retry_after, false);
                tracing::warn!(queue, %error, pause_ms = millis(pause), "Cloud Tasks does not take deliveries; they wait in the outbox");
                soon_ms
            }
            CallError::Closed(_) => {
                let pause = self.pause(queue, None, true);
                tracing::error!(queue, %error, pause_ms = millis(pause), "Cloud Tasks refuses deliveries of this queue: is it created, and has the service account its role?");
                soon_ms
            }
            CallError::Rejected(_) => {
                let longest = self.longest().saturating_mul(REJECTED_PAUSES);
                let doubled =
                    2_u32.saturating_pow(u32::try_from(row.attempts.clamp(0, 20)).unwrap_or(0));
                let pause = self.first().saturating_mul(doubled).min(longest);
                tracing::error!(queue, job.id = %row.job_id, %error, pause_ms = millis(pause), "Cloud Tasks rejects a delivery");
                to_i64(millis(pause))
            }
        };
        Entity::refused(&self.db, row.id, &error.to_string(), retry_ms).await
    }

    /// Asks about sent tasks that are overdue and replaces those that are gone or come too late.
    async fn check(&self) -> Result<(), DbErr> {
        let overdue = Entity::overdue(&self.db, CHECK_BATCH).await?;
        let mut looks = stream::iter(overdue)
            .map(|row| async move { (self.client.look(&row.queue, &row.task_name()).await, row) })
            .buffer_unordered(self.settings.relay_calls);
        while let Some((found, row)) = looks.next().await {
            let first = Duration::from_millis(self.settings.check_after_ms);
            let doubled = 2_u32.saturating_pow(u32::try_from(row.checks.clamp(0, 20)).unwrap_or(0));
            let next = first.saturating_mul(doubled.min(MAX_CHECK));
            let reason = match found {
                Ok(Lookup::Gone) => Some("its task is gone"),
                Ok(Lookup::Waiting { next, under_way }) => self.trouble(next, under_way),
                Err(CallError::Transient { .. }) => None,
                // Not allowed to look: after a while without a word it counts as lost.
                Err(error) => {
                    tracing::warn!(queue = row.queue, %error, "Cloud Tasks does not let us look at a task");
                    (doubled >= MAX_CHECK).then_some("its task never came")
                }
            };
            match reason {
                None => Entity::found(&self.db, row.id, to_i64(millis(next))).await?,
                Some(reason) => {
                    tracing::warn!(queue = row.queue, job.id = %row.job_id, reason, "a delivery is sent again");
                    Entity::replace(&self.db, row.id, reason).await?;
                    self.wake.notify_one();
                }
            }
        }
        Ok(())
    }

    /// What is wrong with a task that is there but does not come.
    fn trouble(
        &self,
        next: Option<DateTime<Utc>>,
        under_way: Option<DateTime<Utc>>,
    ) -> Option<&'static str> {
        let now = Utc::now();
        let check = Duration::from_millis(self.settings.check_after_ms);
        // A process that lives takes a delivery, or sends it again, within this time.
        let hanging = self.push_wait.saturating_add(check);
        let since = under_way.and_then(|since| (now - since).to_std().ok());
        if since.is_some_and(|since| since > hanging) {
            return Some("its task hangs at a process that does not answer");
        }
        let ahead = next.and_then(|next| (next - now).to_std().ok());
        let is_late = under_way.is_none() && ahead > Some(check.saturating_mul(LATE));
        is_late.then_some("its task comes too late")
    }

    fn first(&self) -> Duration {
        Duration::from_millis(self.settings.backoff_base_ms)
    }

    fn longest(&self) -> Duration {
        Duration::from_millis(self.settings.backoff_max_ms)
    }

    /// Leaves a queue alone: as long as asked for, or doubling from the first pause to the longest,
    /// spread by a fifth.
    fn pause(&self, queue: &str, asked: Option<Duration>, at_longest: bool) -> Duration {
        let mut pauses = self.pauses.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let pause = pauses.entry(queue.to_owned()).or_insert(Pause {
            until: now,
            failures: 0,
        });
        // Calls that were under way when the first one failed tell nothing new.
        if pause.until > now {
            return pause.until - now;
        }
        let doubled = 2_u32.saturating_pow(pause.failures.min(20));
        let own = if at_longest {
            self.longest()
        } else {
            self.first().saturating_mul(doubled).min(self.longest())
        };
        let spread = rand::rng().random_range(1.0 - SPREAD..=1.0 + SPREAD);
        let length = own.mul_f64(spread).max(asked.unwrap_or_default());
        pause.failures = pause.failures.saturating_add(1);
        pause.until = now.checked_add(length).unwrap_or(now);
        length
    }

    fn is_paused(&self, queue: &str) -> bool {
        self.pauses
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(queue)
            .is_some_and(|pause| pause.until > Instant::now())
    }

    fn paused(&self) -> Vec<String> {
        let now = Instant::now();
        self.pauses
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .filter(|(_, pause)| pause.until > now)
            .map(|(queue, _)| queue.clone())
            .collect()
    }

    fn resume(&self, queue: &str) {
        let mut pauses = self.pauses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pause) = pauses.remove(queue) {
            let failures = pause.failures;
            tracing::info!(queue, failures, "Cloud Tasks takes deliveries again");
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn to_i64(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
