//! The last fault of our account at each provider.

use sea_orm::{ConnectionTrait, DbErr, EntityTrait, QueryOrder};

pub use super::_entities::provider_faults::*;
use super::statement;

impl Entity {
    /// Notes a fault of this kind.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn note(
        db: &impl ConnectionTrait,
        provider: &str,
        kind: &str,
        detail: &str,
    ) -> Result<(), DbErr> {
        db.execute_raw(statement(
            "insert into provider_faults as f (provider, kind, detail) values ($1, $2, $3)
             on conflict (provider) do update set
                kind = excluded.kind, detail = excluded.detail, last_at = now(), over_at = null,
                since = case when f.over_at is null and f.kind = excluded.kind then f.since else now() end",
            [provider.into(), kind.into(), detail.into()],
        ))
        .await?;
        Ok(())
    }

    /// Notes that a provider takes work again.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end(db: &impl ConnectionTrait, provider: &str) -> Result<(), DbErr> {
        db.execute_raw(statement(
            "update provider_faults set over_at = now() where provider = $1 and over_at is null",
            [provider.into()],
        ))
        .await?;
        Ok(())
    }

    /// The last fault of each provider that ever had one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn all(db: &impl ConnectionTrait) -> Result<Vec<Model>, DbErr> {
        Self::find().order_by_asc(Column::Provider).all(db).await
    }
}
