//! Routes through HTTP; mirrors the URL tree.

mod auth;
mod bad_input;
mod batch;
mod cancel;
mod events;
mod gotrue;
mod idempotency;
mod image;
mod inline;
mod jobs;
mod kinds;
mod metrics;
mod process;
mod providers;
mod queues;
mod r2files;
mod scenes;
mod sockets;
mod tokens;
mod users;
mod waiting;
mod wiring;
