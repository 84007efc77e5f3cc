//! The schema's history: one file per change, each reversible.
//!
//! All pending migrations of one run are applied in one transaction that holds an advisory lock,
//! so several processes may start at once on an empty database.

use loco_rs::prelude::*;
pub use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{DatabaseExecutor, TransactionTrait};

mod m20261122_000001_accounts;
mod m20261122_000002_credits;
mod m20261122_000003_jobs;
mod m20261122_000004_charges;
mod m20261122_000005_files;
mod m20261122_000006_payments;
mod m20261122_000007_http;
mod m20261122_000008_outbox;
mod m20261122_000009_operations;
mod m20261122_000010_job_items;
mod m20261122_000011_fairness;
mod m20261122_000012_places;
mod m20261122_000013_sign_in;
mod m20261122_000014_identities;
mod m20261122_000015_provider_faults;

/// Key of the advisory lock that serialises migrations (the bytes of "daygen").
const MIGRATION_LOCK: i64 = 0x6461_7967_656e;

/// The list of migrations, in order.
struct Steps;

#[async_trait::async_trait]
impl MigratorTrait for Steps {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        Migrator::migrations()
    }
}

/// The migrator that `cargo loco db ..` and the start of the service use.
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261122_000001_accounts::Migration),
            Box::new(m20261122_000002_credits::Migration),
            Box::new(m20261122_000003_jobs::Migration),
            Box::new(m20261122_000004_charges::Migration),
            Box::new(m20261122_000005_files::Migration),
            Box::new(m20261122_000006_payments::Migration),
            Box::new(m20261122_000007_http::Migration),
            Box::new(m20261122_000008_outbox::Migration),
            Box::new(m20261122_000009_operations::Migration),
            Box::new(m20261122_000010_job_items::Migration),
            Box::new(m20261122_000011_fairness::Migration),
            Box::new(m20261122_000012_places::Migration),
            Box::new(m20261122_000013_sign_in::Migration),
            Box::new(m20261122_000014_identities::Migration),
            Box::new(m20261122_000015_provider_faults::Migration),
            // inject-above (do not remove this comment)
        ]
    }

    async fn up<'c, C>(db: C, steps: Option<u32>) -> Result<(), DbErr>
    where
        C: IntoSchemaManagerConnection<'c>,
    {
        match db.into_database_executor() {
            DatabaseExecutor::Connection(connection) => {
                let transaction = connection.begin().await?;
                transaction
                    .execute_unprepared(&format!("select pg_advisory_xact_lock({MIGRATION_LOCK})"))
                    .await?;
                Steps::up(&transaction, steps).await?;
                transaction.commit().await
            }
            executor => Steps::up(executor, steps).await,
        }
    }
}

/// Runs the statements of one direction of a migration.
async fn run(manager: &SchemaManager<'_>, sql: &str) -> Result<(), DbErr> {
    manager.get_connection().execute_unprepared(sql).await?;
    Ok(())
}
