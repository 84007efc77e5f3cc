//! Profiles of callers, read for many requests at once.

use std::sync::Arc;

use loco_rs::app::AppContext;
use sea_orm::{DatabaseConnection, DbErr};

use super::identity::Keeper;
use crate::models::{
    gathered::Gathered,
    users::{Entity, Profile},
};

/// The read behind every signed-in request.
pub struct Profiles {
    by_subject: Gathered<String, Profile>,
}

impl Profiles {
    /// Reads from `db` who has an identity at `keeper`.
    #[must_use]
    pub fn new(db: DatabaseConnection, keeper: Keeper) -> Self {
        let by_subject = Gathered::new(move |subjects| {
            let db = db.clone();
            Box::pin(
                async move { Entity::find_by_identities(&db, keeper.as_str(), subjects).await },
            )
        });
        Self { by_subject }
    }

    /// The reader that boot put into the context.
    ///
    /// # Errors
    /// When the context was not made by this application's hooks.
    pub fn of(ctx: &AppContext) -> loco_rs::Result<Arc<Self>> {
        ctx.shared_store
            .get::<Arc<Self>>()
            .ok_or_else(|| loco_rs::Error::string("profiles are missing from the context"))
    }

    /// The user behind a proven subject of the identity provider in force.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find(&self, subject: String) -> Result<Option<Profile>, DbErr> {
        self.by_subject.find(subject).await
    }
}
