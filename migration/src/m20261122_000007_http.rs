//! Idempotency keys.

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
-- Answers of POSTs that carried an Idempotency-Key, replayed for 24 hours.
create table idempotency_keys (
    user_id uuid not null references users (id) on delete cascade,
    key text not null check (char_length(key) between 1 and 255),
    route text not null,
    -- SHA-256 of the request body.
    body_hash bytea not null check (octet_length(body_hash) = 32),
    -- Null while the first request still runs.
    status smallint check (status between 200 and 299),
    response jsonb,
    locked_until timestamptz(3),
    created_at timestamptz(3) not null default now(),
    expires_at timestamptz(3) not null,
    primary key (user_id, key),
    check ((status is null) = (response is null))
);
create index idempotency_keys_expires_at on idempotency_keys (expires_at);

alter table idempotency_keys enable row level security;
";

const DOWN: &str = r"
drop table idempotency_keys;
";
