//! Routes through HTTP; mirrors the URL tree.

mod auth;
mod auth_providers;
mod bad_input;
mod batch;
mod cancel;
mod events;
mod google;
mod gotrue;
mod idempotency;
mod image;
mod jobs;
mod jwks;
mod kinds;
mod metrics;
mod process;
mod queues;
mod r2files;
mod slow_readers;
mod sockets;
mod supabase;
mod token_corpus;
mod tokens;
mod users;
mod video;
mod waiting;
mod wiring;
