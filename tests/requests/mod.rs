//! Routes through HTTP; mirrors the URL tree.

mod auth;
mod bad_input;
mod events;
mod gotrue;
mod image;
mod jobs;
mod r2files;
mod sockets;
mod tokens;
mod users;
mod waiting;
mod wiring;
