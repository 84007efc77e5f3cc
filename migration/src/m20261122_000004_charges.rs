//! Credit reservations of jobs and the usage events of what was captured.

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
create type usage_status as enum ('COMPLETED', 'GRACE');

create table credit_reservations (
    id uuid primary key,
    user_id uuid not null references users (id) on delete restrict,
    -- Deferred: the hold is placed before the job row, in the same transaction.
    job_id uuid not null references jobs (id) on delete restrict deferrable initially deferred,
    purpose text not null default 'generation',
    amount bigint not null check (amount > 0),
    state text not null default 'held' check (state in ('held', 'captured', 'released')),
    captured_amount bigint not null default 0 check (captured_amount between 0 and amount),
    expires_at timestamptz(3) not null,
    created_at timestamptz(3) not null default now(),
    settled_at timestamptz(3),
    unique (job_id, purpose),
    check ((state = 'held') = (settled_at is null)),
    check (state = 'captured' or captured_amount = 0)
);
create index credit_reservations_open on credit_reservations (expires_at) where state = 'held';
create index credit_reservations_user_open on credit_reservations (user_id) where state = 'held';

create function credit_reservations_settle_once() returns trigger language plpgsql as $$
begin
    raise exception 'reservation % is settled', old.id using errcode = 'check_violation';
end $$;
create trigger credit_reservations_final before update on credit_reservations for each row
    when (old.state <> 'held') execute function credit_reservations_settle_once();

create table usage_events (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references users (id) on delete restrict,
    job_id uuid unique references jobs (id) on delete restrict,
    provider text not null,
    model text,
    prompt text check (char_length(prompt) <= 4096),
    cost bigint not null check (cost >= 0),
    balance_after bigint not null,
    status usage_status not null default 'COMPLETED',
    metadata jsonb,
    created_at timestamptz(3) not null default now()
);
create index usage_events_user_created on usage_events (user_id, created_at desc, id desc);
create index usage_events_created on usage_events (created_at desc, id desc);

alter table credit_reservations enable row level security;
alter table usage_events enable row level security;
";

const DOWN: &str = r"
drop table usage_events;
drop table credit_reservations;
drop function credit_reservations_settle_once();
drop type usage_status;
";
