//! What the local identity provider needs beyond passwords: mailed links, PKCE flows, the mails
//! themselves, and limits that all processes share.

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

const UP: &str = r#"
alter table local_accounts
    add column app_metadata jsonb not null default '{"provider": "email", "providers": ["email"]}',
    -- Address that waits for its proof.
    add column new_email text check (new_email = lower(new_email)),
    add column email_change_sent_at timestamptz(3);

-- How the log-in was made, for the claim `amr`.
alter table auth_sessions add column method text not null default 'password';

-- Links and codes that were mailed. A row goes when it is used.
create table one_time_tokens (
    id uuid primary key,
    kind text not null check (kind in ('signup', 'magiclink', 'recovery', 'email_change')),
    -- The address that it proves.
    email text not null check (email = lower(email)),
    -- Whose address changes.
    user_id uuid references users (id) on delete cascade,
    -- SHA-256 of the link's secret.
    link_hash bytea not null unique check (octet_length(link_hash) = 32),
    -- Keyed hash of address and code: six digits alone could be found from a plain one.
    code_hash bytea not null check (octet_length(code_hash) = 32),
    wrong_codes smallint not null default 0,
    -- What a sign-up brought that waits for its proof.
    password_hash text,
    user_metadata jsonb,
    code_challenge text,
    code_challenge_method text check (code_challenge_method in ('s256', 'plain')),
    created_at timestamptz(3) not null default clock_timestamp(),
    expires_at timestamptz(3) not null,
    check ((code_challenge is null) = (code_challenge_method is null))
);
create index one_time_tokens_email on one_time_tokens (email, kind, created_at);
create index one_time_tokens_user_id on one_time_tokens (user_id);
create index one_time_tokens_expires_at on one_time_tokens (expires_at);

-- Sign-ins that go through another site or another tab: first known by a state, then by a code.
create table auth_flows (
    id uuid primary key,
    state_hash bytea unique check (octet_length(state_hash) = 32),
    code_hash bytea unique check (octet_length(code_hash) = 32),
    user_id uuid references users (id) on delete cascade,
    method text not null,
    redirect_to text,
    code_challenge text,
    code_challenge_method text check (code_challenge_method in ('s256', 'plain')),
    created_at timestamptz(3) not null default now(),
    expires_at timestamptz(3) not null,
    check ((state_hash is null) <> (code_hash is null)),
    check ((code_hash is null) or (user_id is not null)),
    check ((code_challenge is null) = (code_challenge_method is null))
);
create index auth_flows_user_id on auth_flows (user_id);
create index auth_flows_expires_at on auth_flows (expires_at);

-- Mails that are still to be written and sent. A row goes when its mail was sent.
create table mails (
    id uuid primary key,
    kind text not null,
    recipient text not null,
    params jsonb not null,
    tries integer not null default 0,
    next_try_at timestamptz(3) not null default clock_timestamp(),
    give_up_at timestamptz(3) not null,
    created_at timestamptz(3) not null default clock_timestamp()
);
create index mails_next_try_at on mails (next_try_at);

-- Generic cell rate algorithm: when the bucket would be empty again. Losing them in a crash is harmless.
create unlogged table rate_limits (
    -- SHA-256 of limit and subject; no address is stored.
    key bytea primary key check (octet_length(key) = 32),
    empty_at timestamptz not null
);
create index rate_limits_empty_at on rate_limits (empty_at);

alter table one_time_tokens enable row level security;
alter table auth_flows enable row level security;
alter table mails enable row level security;
alter table rate_limits enable row level security;
"#;

const DOWN: &str = r"
drop table rate_limits;
drop table mails;
drop table auth_flows;
drop table one_time_tokens;
alter table auth_sessions drop column method;
alter table local_accounts drop column email_change_sent_at;
alter table local_accounts drop column new_email;
alter table local_accounts drop column app_metadata;
";
