//! Google accounts as identities, and the time from which a user's access tokens count.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, UP).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, DOWN).await
    }
}

const UP: &str = r"
alter table identities drop constraint identities_provider_check;
alter table identities add constraint identities_provider_check
    check (provider in ('local', 'supabase', 'google'));

-- Access tokens issued before this are refused: they belong to log-ins from before the address was
-- proven to be somebody's. Whole seconds, as in tokens.
alter table users add column tokens_valid_from timestamptz(0);
";

const DOWN: &str = r"
alter table users drop column tokens_valid_from;

delete from identities where provider = 'google';
alter table identities drop constraint identities_provider_check;
alter table identities add constraint identities_provider_check check (provider in ('local', 'supabase'));
";
