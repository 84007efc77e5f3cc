//! Works off the list of objects that have to go.

use std::sync::Arc;

use sea_orm::{DatabaseConnection, DbErr};

use super::{Storage, StorageError};
use crate::models::object_deletions::{Due, Entity};

/// Objects or prefixes taken at one turn.
const BATCH: i64 = 100;

/// Deletes what is due; what fails stays on the list and is tried again a minute later.
///
/// # Errors
/// When the database fails.
pub async fn run(db: DatabaseConnection, storage: Arc<Storage>) -> Result<(), DbErr> {
    for due in Entity::take_due(&db, BATCH).await? {
        match delete(&storage, &due).await {
            Ok(()) => Entity::done(&db, due.id).await?,
            Err(error) => tracing::warn!(%error, "an object could not be deleted yet"),
        }
    }
    Ok(())
}

async fn delete(storage: &Storage, due: &Due) -> Result<(), StorageError> {
    if !due.is_prefix {
        return storage.delete(&due.object_key).await;
    }
    storage.abort_uploads(&due.object_key).await;
    for key in storage.list(&due.object_key).await? {
        storage.delete(&key).await?;
    }
    Ok(())
}
