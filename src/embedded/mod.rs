//! Stand-ins for one-command use: PostgreSQL from installed programs, an S3 over a folder, and the
//! secrets that a development home keeps. Production uses none of it.

pub mod home;
pub mod inbox;
pub mod postgres;
pub mod s3;
