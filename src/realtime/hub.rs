//! The hub of this process: who listens to which user, and what they were handed last.
//!
//! A wake (a notification, a reconnect, the interval) makes it read what is new for the users that
//! somebody listens to, several users in one query, and send it on. Sending never waits: a reader that
//! is slow loses its place in a bounded buffer and catches up from the log.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use loco_rs::app::AppContext;
use sea_orm::{DatabaseConnection, DbErr, prelude::Uuid};
use tokio::sync::{Notify, broadcast};
use tokio_util::sync::CancellationToken;

use super::{
    JobUpdate, RealtimeError, Seats,
    subscription::{Start, Subscription},
};
use crate::{
    models::job_events::{Entity, LoggedEvent, Position},
    settings,
};

/// Makes a public address of an object key.
pub type Address = dyn Fn(&str) -> String + Send + Sync;

/// Users read by one query.
const USERS_PER_READ: usize = 200;
/// Pause after a failed read.
pub(super) const RETRY: Duration = Duration::from_millis(500);

/// Hands the event log of users out to whoever listens in this process.
pub struct Hub {
    db: DatabaseConnection,
    address: Box<Address>,
    page: i64,
    buffer: usize,
    net: Duration,
    feeds: Mutex<HashMap<Uuid, Feed>>,
    woken: Mutex<HashSet<Uuid>>,
    bell: Notify,
    stop: CancellationToken,
    pub seats: Arc<Seats>,
}

/// One user that somebody listens to.
struct Feed {
    /// The last event that was sent on; unknown until the first listener has asked the database.
    last: Option<i64>,
    listeners: usize,
    sender: broadcast::Sender<Arc<JobUpdate>>,
}

/// Being among the listeners of a user, until it is dropped.
pub(super) struct Listener {
    pub(super) hub: Arc<Hub>,
    pub(super) user_id: Uuid,
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut feeds = self.hub.feeds();
        if let Some(feed) = feeds.get_mut(&self.user_id) {
            feed.listeners = feed.listeners.saturating_sub(1);
            if feed.listeners == 0 {
                feeds.remove(&self.user_id);
            }
        }
    }
}

impl Hub {
    /// A hub that does nothing before [`Hub::run`].
    #[must_use]
    pub fn new(
        db: DatabaseConnection,
        realtime: &settings::Realtime,
        address: Box<Address>,
    ) -> Self {
        Self {
            db,
            address,
            page: i64::from(realtime.page_events),
            buffer: realtime.buffer_events,
            net: Duration::from_millis(realtime.net_interval_ms),
            feeds: Mutex::default(),
            woken: Mutex::default(),
            bell: Notify::new(),
            stop: CancellationToken::new(),
            seats: Arc::new(Seats::new(realtime)),
        }
    }

    /// The hub that boot put into the context.
    ///
    /// # Errors
    /// When the context was not made by this application's hooks.
    pub fn of(ctx: &AppContext) -> loco_rs::Result<Arc<Self>> {
        ctx.shared_store
            .get::<Arc<Self>>()
            .ok_or_else(|| loco_rs::Error::string("the hub is missing from the context"))
    }

    fn feeds(&self) -> MutexGuard<'_, HashMap<Uuid, Feed>> {
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn woken(&self) -> MutexGuard<'_, HashSet<Uuid>> {
        self.woken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) const fn db(&self) -> &DatabaseConnection {
        &self.db
    }

    pub(super) const fn page(&self) -> i64 {
        self.page
    }

    /// Resolves when this process ends its live connections.
    pub async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// Ends every stream, socket and wait: the process stops.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// The event of a row of the log.
    #[must_use]
    pub fn update_of(&self, row: &LoggedEvent) -> JobUpdate {
        JobUpdate::new(row, &self.address)
    }

    /// Takes a notification: the users in it have new events.
    pub fn hear(&self, note: &str) {
        for id in note.split(',') {
            if let Ok(user_id) = Uuid::parse_str(id) {
                self.wake(user_id);
            }
        }
    }

    /// Reads for everybody: notifications may have been lost.
    pub fn wake_all(&self) {
        let users: Vec<Uuid> = self.feeds().keys().copied().collect();
        if !users.is_empty() {
            self.woken().extend(users);
            self.bell.notify_one();
        }
    }

    fn wake(&self, user_id: Uuid) {
        if self.feeds().contains_key(&user_id) {
            self.woken().insert(user_id);
            self.bell.notify_one();
        }
    }

    /// Begins to listen to a user, to all jobs or to one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn subscribe(
        self: &Arc<Self>,
        user_id: Uuid,
        start: Start,
        job_id: Option<Uuid>,
    ) -> Result<Subscription, RealtimeError> {
        let (listener, receiver, known) = self.join(user_id);
        let now = match (known, start) {
            (Some(last), Start::Now) => last,
            // Listening already, so nothing falls between this number and what is sent on.
            (_, Start::Now | Start::After(_)) => {
                let newest = Entity::last_seq(&self.db, user_id).await?;
                self.open(user_id, newest);
                newest
            }
        };
        let after = match start {
            Start::Now => now,
            // A number from the future is none of ours.
            Start::After(seq) => seq.min(now),
        };
        let is_behind = after < now;
        Ok(Subscription::new(
            listener, receiver, job_id, after, is_behind,
        ))
    }

    fn join(
        self: &Arc<Self>,
        user_id: Uuid,
    ) -> (Listener, broadcast::Receiver<Arc<JobUpdate>>, Option<i64>) {
        let mut feeds = self.feeds();
        let feed = feeds.entry(user_id).or_insert_with(|| Feed {
            last: None,
            listeners: 0,
            sender: broadcast::Sender::new(self.buffer),
        });
        feed.listeners = feed.listeners.saturating_add(1);
        let listener = Listener {
            hub: Arc::clone(self),
            user_id,
        };
        (listener, feed.sender.subscribe(), feed.last)
    }

    /// Sets where a new feed begins. A notification may have come before that, so the user is read once.
    fn open(&self, user_id: Uuid, newest: i64) {
        let is_new = self.feeds().get_mut(&user_id).is_some_and(|feed| {
            let is_new = feed.last.is_none();
            feed.last.get_or_insert(newest);
            is_new
        });
        if is_new {
            self.wake(user_id);
        }
    }

    /// Reads and hands out until the process stops.
    pub async fn run(self: Arc<Self>) {
        let mut net = tokio::time::interval(self.net);
        net.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.bell.notified() => {}
                _ = net.tick() => self.wake_all(),
                () = self.stop.cancelled() => return,
            }
            while let Err(error) = self.hand_out().await {
                tracing::warn!(%error, "new events could not be read; trying again");
                tokio::select! {
                    () = tokio::time::sleep(RETRY) => {}
                    () = self.stop.cancelled() => return,
                }
            }
        }
    }

    /// Reads for the woken users, page by page, until nobody has more.
    async fn hand_out(&self) -> Result<(), DbErr> {
        loop {
            let positions = self.take_woken();
            if positions.is_empty() {
                return Ok(());
            }
            match Entity::behind(&self.db, &positions, self.page).await {
                Ok(events) => self.send_on(&events),
                Err(error) => {
                    let users = positions.iter().map(|position| position.user_id);
                    self.woken().extend(users);
                    return Err(error);
                }
            }
        }
    }

    /// Some of the woken users whose feed has begun, with where it is. One that has not is woken again
    /// when it begins.
    fn take_woken(&self) -> Vec<Position> {
        let feeds = self.feeds();
        let mut woken = self.woken();
        let mut positions = Vec::new();
        let users: Vec<Uuid> = woken.iter().take(USERS_PER_READ).copied().collect();
        for user_id in users {
            woken.remove(&user_id);
            if let Some(seq) = feeds.get(&user_id).and_then(|feed| feed.last) {
                positions.push(Position { user_id, seq });
            }
        }
        if positions.is_empty() && !woken.is_empty() {
            self.bell.notify_one();
        }
        positions
    }

    fn send_on(&self, events: &[LoggedEvent]) {
        let updates: Vec<(Uuid, Arc<JobUpdate>)> = events
            .iter()
            .map(|row| (row.user_id, Arc::new(self.update_of(row))))
            .collect();
        let mut counts: HashMap<Uuid, i64> = HashMap::new();
        let mut feeds = self.feeds();
        for (user_id, update) in updates {
            let count = counts.entry(user_id).or_default();
            *count = count.saturating_add(1);
            let Some(feed) = feeds.get_mut(&user_id) else {
                continue;
            };
            if feed.last.is_some_and(|last| last < update.seq) {
                feed.last = Some(update.seq);
                // Nobody receives when the last listener is just leaving.
                feed.sender.send(update).ok();
            }
        }
        drop(feeds);
        let full = counts.into_iter().filter(|(_, count)| *count >= self.page);
        self.woken().extend(full.map(|(user_id, _)| user_id));
    }
}
