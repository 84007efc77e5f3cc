//! Looks of clients at their jobs, read for many requests at once: whoever waits for a picture asks
//! again and again.

use std::sync::Arc;

use loco_rs::app::AppContext;
use sea_orm::{DatabaseConnection, DbErr};

use crate::models::{
    gathered::Gathered,
    jobs::{Entity, JobView, Owned},
};

/// Finds single jobs for their owners.
pub struct Lookup {
    jobs: Gathered<Owned, JobView>,
}

impl Lookup {
    /// Reads from `db`.
    #[must_use]
    pub fn new(db: DatabaseConnection) -> Self {
        let jobs = Gathered::new(move |wanted| {
            let db = db.clone();
            Box::pin(async move { Entity::find_for_users(&db, wanted).await })
        });
        Self { jobs }
    }

    /// The finder that boot put into the context.
    ///
    /// # Errors
    /// When the context was not made by this application's hooks.
    pub fn of(ctx: &AppContext) -> loco_rs::Result<Arc<Self>> {
        ctx.shared_store.get::<Arc<Self>>().ok_or_else(|| {
            loco_rs::Error::string("the look-up of jobs is missing from the context")
        })
    }

    /// The job, when it is its asker's.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find(&self, job: Owned) -> Result<Option<JobView>, DbErr> {
        self.jobs.find(job).await
    }
}
