//! The schema runs forward and back, and several processes may start at once.

use migration::{Migrator, MigratorTrait};
use sea_orm::{ConnectionTrait, Database, DbBackend, Statement};

use crate::support::cluster::TestDatabase;

async fn tables(db: &sea_orm::DatabaseConnection) -> i64 {
    let sql = "select count(*) from pg_tables where schemaname = 'public' and tablename <> 'seaql_migrations'";
    let row = db
        .query_one_raw(Statement::from_string(DbBackend::Postgres, sql))
        .await
        .unwrap()
        .unwrap();
    row.try_get_by_index(0).unwrap()
}

#[tokio::test]
async fn forward_back_and_forward_again() {
    let database = TestDatabase::empty().await;
    let db = Database::connect(&database.uri).await.unwrap();
    Migrator::up(&db, None).await.unwrap();
    let made = tables(&db).await;
    assert!(made >= 18, "{made}");
    let steps = u32::try_from(Migrator::migrations().len()).unwrap();
    Migrator::down(&db, Some(steps)).await.unwrap();
    assert_eq!(tables(&db).await, 0);
    let types = "select count(*) from pg_type t join pg_namespace n on n.oid = t.typnamespace
                 where n.nspname = 'public' and t.typtype = 'e'";
    let row = db
        .query_one_raw(Statement::from_string(DbBackend::Postgres, types))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        row.try_get_by_index::<i64>(0).unwrap(),
        0,
        "no type is left behind"
    );
    Migrator::up(&db, None).await.unwrap();
    assert_eq!(tables(&db).await, made);
}

#[tokio::test]
async fn four_processes_migrate_an_empty_database_at_once() {
    let database = TestDatabase::empty().await;
    let runs = (0..4).map(|_| async {
        let db = Database::connect(&database.uri).await.unwrap();
        Migrator::up(&db, None).await
    });
    for outcome in futures_util::future::join_all(runs).await {
        outcome.unwrap();
    }
}

#[tokio::test]
async fn every_table_denies_roles_without_a_policy() {
    let database = TestDatabase::migrated().await;
    let db = Database::connect(&database.uri).await.unwrap();
    let sql = "select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace
               where n.nspname = 'public' and c.relkind = 'r' and not c.relrowsecurity
                 and c.relname <> 'seaql_migrations'";
    let row = db
        .query_one_raw(Statement::from_string(DbBackend::Postgres, sql))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(row.try_get_by_index::<i64>(0).unwrap(), 0);
}
