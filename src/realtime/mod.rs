//! Live updates: the event log of a user's jobs, handed out as it grows.
//!
//! Whoever commits a change announces the user ([`Announcer`]); every process that serves clients
//! hears of it, reads what is new for the users it serves, and hands it to their streams and sockets
//! ([`Hub`]). The log is the truth: a lost notification, a slow reader and a cut connection are all
//! mended by reading it again from the last number that was seen.

mod announcer;
mod event;
mod hub;
mod seats;
pub mod sockets;
mod subscription;

use sea_orm::DbErr;

pub use announcer::Announcer;
pub use event::JobUpdate;
pub use hub::{Address, Hub};
pub use seats::{Kind, Seat, Seats};
pub use subscription::{Start, Subscription};

/// Channel of the notifications: which users have new events, and nothing else.
pub const CHANNEL: &str = "daygen_job_events";
/// Name of the event on sockets and streams.
pub const JOB_UPDATE: &str = "job-update";

/// Why somebody cannot be given live updates. The texts of the limits are for the user.
#[derive(Debug, thiserror::Error)]
pub enum RealtimeError {
    /// The user has as many of these open as is allowed.
    #[error("You cannot have more than {limit} {kind} open at a time. Please close one first.")]
    TooMany { kind: Kind, limit: usize },
    /// This process has as many connections open as is allowed.
    #[error("Too many live connections are open right now. Please try again.")]
    Full,
    #[error(transparent)]
    Database(#[from] DbErr),
}
