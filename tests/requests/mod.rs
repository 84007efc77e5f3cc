//! Routes through HTTP; mirrors the URL tree.

mod auth;
mod bad_input;
mod batch;
mod cancel;
mod gotrue;
mod image;
mod jobs;
mod kinds;
mod process;
mod r2files;
mod tokens;
mod users;
mod wiring;
