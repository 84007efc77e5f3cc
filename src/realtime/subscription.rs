//! Listening to one user: every event in order, none left out, however slow the reader is.

use std::{collections::VecDeque, sync::Arc};

use sea_orm::{DbErr, prelude::Uuid};
use tokio::sync::broadcast::{Receiver, error::RecvError};

use super::{
    JobUpdate,
    hub::{Listener, RETRY},
};
use crate::models::job_events::{Entity, Span};

/// Where listening starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With the next change.
    Now,
    /// With what came after this event.
    After(i64),
}

/// A place in the log of one user.
pub struct Subscription {
    listener: Listener,
    receiver: Receiver<Arc<JobUpdate>>,
    job_id: Option<Uuid>,
    /// Everything up to here was handed out or was not wanted.
    after: i64,
    /// Whether the log has more than what will be received.
    is_behind: bool,
    backlog: VecDeque<JobUpdate>,
}

impl Subscription {
    pub(super) fn new(
        listener: Listener,
        receiver: Receiver<Arc<JobUpdate>>,
        job_id: Option<Uuid>,
        after: i64,
        is_behind: bool,
    ) -> Self {
        Self {
            listener,
            receiver,
            job_id,
            after,
            is_behind,
            backlog: VecDeque::new(),
        }
    }

    /// The event after which this subscription goes on.
    #[must_use]
    pub const fn position(&self) -> i64 {
        self.after
    }

    /// Leaves out what came up to this event.
    pub fn skip_to(&mut self, seq: i64) {
        self.after = self.after.max(seq);
    }

    /// The next event; `None` when the process stops. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Arc<JobUpdate>> {
        let hub = Arc::clone(&self.listener.hub);
        loop {
            if let Some(update) = self.backlog.pop_front() {
                return Some(Arc::new(update));
            }
            if self.is_behind {
                tokio::select! {
                    () = hub.stopped() => return None,
                    () = self.catch_up() => continue,
                }
            }
            let received = tokio::select! {
                () = hub.stopped() => return None,
                received = self.receiver.recv() => received,
            };
            match received {
                Ok(update) if update.seq <= self.after => {}
                Ok(update) if update.seq == self.after.saturating_add(1) => {
                    self.after = update.seq;
                    if self.job_id.is_none_or(|job_id| job_id == update.job_id) {
                        return Some(update);
                    }
                }
                // Something between is missing here, but not in the log.
                Ok(_) | Err(RecvError::Lagged(_)) => self.is_behind = true,
                Err(RecvError::Closed) => return None,
            }
        }
    }

    async fn catch_up(&mut self) {
        while let Err(error) = self.read_page().await {
            tracing::warn!(%error, "a reader could not catch up; trying again");
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn read_page(&mut self) -> Result<(), DbErr> {
        let hub = &self.listener.hub;
        let user_id = self.listener.user_id;
        // What is committed later is received, or found missing again.
        let up_to = Entity::last_seq(hub.db(), user_id).await?;
        let span = Span {
            user_id,
            after: self.after,
            up_to,
            job_id: self.job_id,
        };
        let rows = Entity::within(hub.db(), span, hub.page()).await?;
        let is_full = i64::try_from(rows.len()).is_ok_and(|count| count >= hub.page());
        let reached = if is_full {
            rows.last().map_or(up_to, |row| row.seq)
        } else {
            up_to
        };
        self.backlog
            .extend(rows.iter().map(|row| hub.update_of(row)));
        self.after = self.after.max(reached);
        self.is_behind = is_full;
        Ok(())
    }
}
