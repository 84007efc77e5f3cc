//! Routes through HTTP; mirrors the URL tree.

mod auth;
mod bad_input;
mod cancel;
mod events;
mod gotrue;
mod idempotency;
mod image;
mod jobs;
mod metrics;
mod process;
mod queues;
mod r2files;
mod sockets;
mod tokens;
mod users;
mod waiting;
mod wiring;
