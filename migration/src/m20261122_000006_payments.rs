//! Payments, subscriptions and the inbox of Stripe events.

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
create type payment_status as enum ('PENDING', 'COMPLETED', 'FAILED', 'CANCELLED', 'REFUNDED');
create type payment_type as enum ('ONE_TIME', 'SUBSCRIPTION', 'SUBSCRIPTION_UPGRADE');
create type subscription_status as enum (
    'ACTIVE', 'CANCELLED', 'PAST_DUE', 'UNPAID', 'INCOMPLETE', 'INCOMPLETE_EXPIRED', 'TRIALING', 'PAUSED'
);

create table payments (
    id uuid primary key,
    user_id uuid not null references users (id) on delete restrict,
    type payment_type not null,
    -- Id of the credit pack or plan that was bought.
    item text,
    -- Cents.
    amount bigint not null check (amount >= 0),
    currency text not null default 'usd' check (currency = lower(currency)),
    credits bigint not null check (credits >= 0),
    status payment_status not null default 'PENDING',
    stripe_session_id text unique,
    stripe_payment_intent_id text unique,
    stripe_invoice_id text unique,
    refunded_amount bigint not null default 0 check (refunded_amount between 0 and amount),
    metadata jsonb not null default '{}',
    created_at timestamptz(3) not null default now(),
    updated_at timestamptz(3) not null default now()
);
create index payments_user_created on payments (user_id, created_at desc, id desc);
create index payments_pending on payments (created_at) where status = 'PENDING';

create table subscriptions (
    id uuid primary key,
    user_id uuid not null references users (id) on delete restrict,
    stripe_subscription_id text not null unique,
    stripe_subscription_item_id text unique,
    stripe_price_id text not null,
    plan text not null,
    status subscription_status not null default 'ACTIVE',
    current_period_start timestamptz(3) not null,
    current_period_end timestamptz(3) not null,
    cancel_at_period_end boolean not null default false,
    credits bigint not null check (credits >= 0),
    ended_at timestamptz(3),
    -- Creation time of the newest Stripe state applied; older events change nothing.
    stripe_state_at timestamptz(3),
    created_at timestamptz(3) not null default now(),
    updated_at timestamptz(3) not null default now(),
    check (current_period_end >= current_period_start)
);
create unique index subscriptions_one_live on subscriptions (user_id) where ended_at is null;
create index subscriptions_stripe_price_id on subscriptions (stripe_price_id);

-- Inbox: a webhook is answered once its event stands here; the primary key removes duplicates.
create table stripe_events (
    id text primary key,
    type text not null,
    api_version text,
    stripe_created_at timestamptz(3) not null,
    payload jsonb not null,
    state text not null default 'received' check (state in ('received', 'done', 'failed', 'ignored')),
    attempts integer not null default 0 check (attempts >= 0),
    last_error text,
    next_attempt_at timestamptz(3) not null default now(),
    received_at timestamptz(3) not null default now(),
    processed_at timestamptz(3)
);
create index stripe_events_open on stripe_events (next_attempt_at) where state in ('received', 'failed');

alter table payments enable row level security;
alter table subscriptions enable row level security;
alter table stripe_events enable row level security;
";

const DOWN: &str = r"
drop table stripe_events;
drop table subscriptions;
drop table payments;
drop type subscription_status;
drop type payment_type;
drop type payment_status;
";
