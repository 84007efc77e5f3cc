//! Routes through HTTP; mirrors the URL tree.

mod auth;
mod bad_input;
mod batch;
mod gotrue;
mod image;
mod jobs;
mod kinds;
mod r2files;
mod tokens;
mod users;
mod wiring;
