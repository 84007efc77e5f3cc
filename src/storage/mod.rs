//! Stored objects: keys, sniffing, and the one S3 client. Nothing else builds an object key.

mod client;
pub mod deletions;
pub mod intake;
pub mod keys;
pub mod sniff;
pub mod upload;

pub use client::{Fetched, Storage};
pub use intake::{Intake, IntakeError, Received, Share};
pub use keys::{Folder, ObjectKey};
pub use sniff::{ImageKind, MediaKind, VideoKind};
pub use upload::{Parts, UploadError};

/// What can go wrong with stored objects.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// No such object.
    #[error("the object does not exist")]
    NotFound,
    /// The object is shorter than the range that was asked for.
    #[error("the range lies outside the object")]
    RangeNotSatisfiable,
    /// The text is no key of ours.
    #[error("not an object key")]
    InvalidKey,
    /// The storage service failed, refused, or did not answer in time.
    #[error("the storage service failed: {0}")]
    Unavailable(String),
    /// The object could not be taken in.
    #[error(transparent)]
    Intake(#[from] IntakeError),
}
