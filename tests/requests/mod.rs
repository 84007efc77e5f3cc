//! Routes through HTTP; mirrors the URL tree.

mod auth;
mod bad_input;
mod batch;
mod cancel;
mod events;
mod gotrue;
mod idempotency;
mod image;
mod jobs;
mod kinds;
mod metrics;
mod process;
mod queues;
mod r2files;
mod sockets;
mod tokens;
mod users;
mod video;
mod waiting;
mod wiring;
