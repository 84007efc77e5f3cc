//! Telling all processes that a user's jobs changed: after the commit, and without a round trip of
//! the one who committed.
//!
//! A notification inside the transaction would make all commits of the database queue up behind each
//! other, so it is sent by a task of its own, many users at once.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sea_orm::{ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr, prelude::Uuid};

use super::CHANNEL;
use crate::{models::statement, settings};

/// Users named by one notification: its text must stay below 8,000 bytes.
const USERS_PER_NOTE: usize = 200;
/// Pause before a notification that could not be sent is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// A lost announcement is made up for by the readers' interval, so its commit need not wait for the
/// disk.
const NOTIFY: &str = "select set_config('synchronous_commit', 'off', true), pg_notify($1, note)
    from unnest($2::text[]) as note";

/// Announces users whose jobs changed. Clones share one queue.
#[derive(Clone)]
pub struct Announcer(Arc<Inner>);

struct Inner {
    db: DatabaseConnection,
    pause: Duration,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    users: HashSet<Uuid>,
    is_sending: bool,
}

impl Announcer {
    /// An announcer of this process; it does nothing before it is used.
    #[must_use]
    pub fn new(db: DatabaseConnection, realtime: &settings::Realtime) -> Self {
        Self(Arc::new(Inner {
            db,
            pause: Duration::from_millis(realtime.announce_pause_ms),
            waiting: Mutex::default(),
        }))
    }

    /// Commits a transaction and announces the users whose jobs it changed in a way that can be seen.
    ///
    /// # Errors
    /// When the commit was not answered. It is announced then too: it may have been written.
    pub async fn commit(
        &self,
        txn: DatabaseTransaction,
        changed: impl IntoIterator<Item = Uuid>,
    ) -> Result<(), DbErr> {
        let changed: Vec<Uuid> = changed.into_iter().collect();
        let outcome = txn.commit().await;
        for user_id in changed {
            self.announce(user_id);
        }
        outcome
    }

    /// Announces a committed change of this user's jobs. Returns at once.
    pub fn announce(&self, user_id: Uuid) {
        let mut waiting = self.waiting();
        waiting.users.insert(user_id);
        if !std::mem::replace(&mut waiting.is_sending, true) {
            tokio::spawn(self.clone().send_all());
        }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.0
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends until nobody waits: the first at once, and what gathers meanwhile together.
    async fn send_all(self) {
        while let Some(users) = self.take() {
            let pause = match self.send(&users).await {
                Ok(()) => self.0.pause,
                Err(error) => {
                    tracing::warn!(%error, "changed jobs could not be announced; trying again");
                    self.waiting().users.extend(users);
                    RETRY
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// The users that wait; none ends the sending.
    fn take(&self) -> Option<Vec<Uuid>> {
        let mut waiting = self.waiting();
        if waiting.users.is_empty() {
            waiting.is_sending = false;
            return None;
        }
        Some(waiting.users.drain().collect())
    }

    async fn send(&self, users: &[Uuid]) -> Result<(), DbErr> {
        let notes: Vec<String> = users.chunks(USERS_PER_NOTE).map(note).collect();
        self.0
            .db
            .execute_raw(statement(NOTIFY, [CHANNEL.into(), notes.into()]))
            .await?;
        Ok(())
    }
}

fn note(users: &[Uuid]) -> String {
    let ids: Vec<String> = users.iter().map(|id| id.simple().to_string()).collect();
    ids.join(",")
}
