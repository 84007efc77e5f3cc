//! The test bed: a cluster for the run, a database for each test, the app on a real socket, and
//! stand-ins for what is paid or far away.

pub mod app;
pub mod bfl;
pub mod cloud_tasks;
pub mod cluster;
pub mod google;
pub mod gotrue;
pub mod inbox;
pub mod key_server;
pub mod log;
pub mod operators;
pub mod pictures;
pub mod processes;
pub mod random;
pub mod s3;
pub mod signing;
pub mod snapshot;
pub mod socketio;
pub mod sse;
pub mod studio;
pub mod tokens;
pub mod upstream;

pub use app::{Answer, Builder, INTERNAL_KEY, TestApp, TestUser, test_app};
