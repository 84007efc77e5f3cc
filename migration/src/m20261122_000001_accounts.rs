//! Users, their identities, and the local accounts with sessions and refresh tokens.

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
create type user_role as enum ('USER', 'ADMIN');

create table users (
    id uuid primary key,
    email text not null unique check (email = lower(email) and email <> ''),
    display_name text check (char_length(display_name) <= 200),
    -- Object key of a picture in our bucket; goes before avatar_url.
    profile_image_key text,
    -- Picture that an identity provider named.
    avatar_url text,
    role user_role not null default 'USER',
    stripe_customer_id text unique,
    created_at timestamptz(3) not null default now(),
    updated_at timestamptz(3) not null default now(),
    -- Set when the account was deleted and its personal data removed; money rows stay.
    anonymized_at timestamptz(3)
);

create table identities (
    id uuid primary key,
    user_id uuid not null references users (id) on delete restrict,
    provider text not null check (provider in ('local', 'supabase')),
    subject text not null,
    created_at timestamptz(3) not null default now(),
    unique (provider, subject)
);
create index identities_user_id on identities (user_id);

-- Own accounts: what the local identity provider knows of a user.
create table local_accounts (
    user_id uuid primary key references users (id) on delete cascade,
    email text not null unique check (email = lower(email)),
    password_hash text,
    email_confirmed_at timestamptz(3),
    last_sign_in_at timestamptz(3),
    user_metadata jsonb not null default '{}',
    created_at timestamptz(3) not null default now(),
    updated_at timestamptz(3) not null default now()
);

-- One log-in: the family that its refresh tokens belong to.
create table auth_sessions (
    id uuid primary key,
    user_id uuid not null references users (id) on delete cascade,
    created_at timestamptz(3) not null default now(),
    revoked_at timestamptz(3),
    revoked_reason text
);
create index auth_sessions_user_id on auth_sessions (user_id) where revoked_at is null;

create table refresh_tokens (
    id bigint generated always as identity primary key,
    session_id uuid not null references auth_sessions (id) on delete cascade,
    -- SHA-256 of the token; the token itself is never stored.
    token_hash bytea not null unique check (octet_length(token_hash) = 32),
    created_at timestamptz(3) not null default now(),
    expires_at timestamptz(3) not null,
    used_at timestamptz(3)
);
create index refresh_tokens_session_id on refresh_tokens (session_id);
create index refresh_tokens_expires_at on refresh_tokens (expires_at);

alter table users enable row level security;
alter table identities enable row level security;
alter table local_accounts enable row level security;
alter table auth_sessions enable row level security;
alter table refresh_tokens enable row level security;
";

const DOWN: &str = r"
drop table refresh_tokens;
drop table auth_sessions;
drop table local_accounts;
drop table identities;
drop table users;
drop type user_role;
";
