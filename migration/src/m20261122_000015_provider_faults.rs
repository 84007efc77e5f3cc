//! The last fault of our account at each provider, for operators.

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
-- Apart from provider_gates, whose rows every claim locks.
create table provider_faults (
    provider text primary key,
    kind text not null check (kind in ('KEY_REJECTED', 'OUT_OF_CREDITS', 'MISCONFIGURED', 'RATE_LIMITED')),
    -- What upstream said, without keys, prompts and addresses.
    detail text not null,
    -- When it was noted first and last since it was last over.
    since timestamptz(3) not null default now(),
    last_at timestamptz(3) not null default now(),
    -- Set when work was taken again.
    over_at timestamptz(3)
);
alter table provider_faults enable row level security;
";

const DOWN: &str = "drop table provider_faults;";
