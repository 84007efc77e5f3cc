//! Answer bodies, one file per family. Entities are never serialised.

pub mod auth;
pub mod health;
pub mod jobs;
pub mod process;
pub mod r2_files;
pub mod users;

use chrono::{DateTime, FixedOffset, SecondsFormat, Utc};

/// ISO 8601 in UTC with milliseconds (platform contract 1.8).
#[must_use]
pub fn timestamp(time: &DateTime<FixedOffset>) -> String {
    time.with_timezone(&Utc)
        .to_rfc3339_opts(SecondsFormat::Millis, true)
}
