//! Files in the bucket, and the list of objects that have to be deleted.

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
create table r2_files (
    id uuid primary key,
    user_id uuid not null references users (id) on delete restrict,
    -- Key in the bucket; the address is built on read.
    object_key text not null check (object_key <> ''),
    file_name text not null check (char_length(file_name) between 1 and 255),
    file_size bigint check (file_size >= 0),
    mime_type text,
    prompt text,
    provider text,
    model text,
    avatar_id text,
    avatar_image_id text,
    product_id text,
    style_id text,
    is_public boolean not null default false,
    job_id uuid references jobs (id) on delete set null,
    created_at timestamptz(3) not null default now(),
    updated_at timestamptz(3) not null default now(),
    deleted_at timestamptz(3)
);
create unique index r2_files_live_key on r2_files (user_id, object_key) where deleted_at is null;
create index r2_files_live_created on r2_files (user_id, created_at desc, id desc) where deleted_at is null;
create index r2_files_object_key on r2_files (object_key);
create index r2_files_job_id on r2_files (job_id);

-- Objects that have to go: written with the change that makes them useless, worked off by a duty.
create table object_deletions (
    id bigint generated always as identity primary key,
    -- A key, or with is_prefix all keys that begin so.
    object_key text not null check (char_length(object_key) > 8),
    is_prefix boolean not null default false,
    not_before timestamptz(3) not null default now(),
    attempts integer not null default 0,
    created_at timestamptz(3) not null default now()
);
create index object_deletions_not_before on object_deletions (not_before);

alter table r2_files enable row level security;
alter table object_deletions enable row level security;
";

const DOWN: &str = r"
drop table object_deletions;
drop table r2_files;
";
