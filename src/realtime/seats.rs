//! How many live connections one user, and all together, may hold open in this process.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use sea_orm::prelude::Uuid;

use super::RealtimeError;
use crate::settings;

/// What a user may hold several of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An event stream.
    Stream,
    /// A Socket.IO connection.
    Socket,
    /// A request that waits for its job.
    Wait,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stream => "event streams",
            Self::Socket => "sockets",
            Self::Wait => "waiting requests",
        })
    }
}

/// The places of this process.
#[derive(Debug)]
pub struct Seats {
    connections: usize,
    streams_per_user: usize,
    sockets_per_user: usize,
    waits_per_user: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    connections: usize,
    of_users: HashMap<(Uuid, Kind), usize>,
}

/// A taken place; free again when it is dropped.
#[derive(Debug)]
pub struct Seat {
    seats: Arc<Seats>,
    /// `None`: a connection of whoever.
    of_user: Option<(Uuid, Kind)>,
}

impl Seats {
    /// Places as the settings limit them.
    #[must_use]
    pub fn new(realtime: &settings::Realtime) -> Self {
        Self {
            connections: realtime.max_connections,
            streams_per_user: realtime.streams_per_user,
            sockets_per_user: realtime.sockets_per_user,
            waits_per_user: realtime.waits_per_user,
            taken: Mutex::default(),
        }
    }

    /// How many of a kind are open in this process, or of one user.
    #[must_use]
    pub fn open(&self, kind: Kind, user_id: Option<Uuid>) -> usize {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let of_kind = taken.of_users.iter().filter(|((owner, of), _)| {
            *of == kind && user_id.is_none_or(|user_id| user_id == *owner)
        });
        of_kind.map(|(_, count)| *count).sum()
    }

    /// One of the connections that all users share.
    ///
    /// # Errors
    /// [`RealtimeError::Full`].
    pub fn connection(self: &Arc<Self>) -> Result<Seat, RealtimeError> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.connections >= self.connections {
            return Err(RealtimeError::Full);
        }
        taken.connections = taken.connections.saturating_add(1);
        Ok(Seat {
            seats: Arc::clone(self),
            of_user: None,
        })
    }

    /// One of the places of a user.
    ///
    /// # Errors
    /// [`RealtimeError::TooMany`].
    pub fn of_user(self: &Arc<Self>, user_id: Uuid, kind: Kind) -> Result<Seat, RealtimeError> {
        let limit = match kind {
            Kind::Stream => self.streams_per_user,
            Kind::Socket => self.sockets_per_user,
            Kind::Wait => self.waits_per_user,
        };
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.of_users.entry((user_id, kind)).or_default();
        if *count >= limit {
            return Err(RealtimeError::TooMany { kind, limit });
        }
        *count = count.saturating_add(1);
        Ok(Seat {
            seats: Arc::clone(self),
            of_user: Some((user_id, kind)),
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self
            .seats
            .taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Some(place) = self.of_user else {
            taken.connections = taken.connections.saturating_sub(1);
            return;
        };
        if let Some(count) = taken.of_users.get_mut(&place) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                taken.of_users.remove(&place);
            }
        }
    }
}
