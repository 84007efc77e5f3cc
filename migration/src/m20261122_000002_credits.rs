//! The double-entry credit ledger: accounts, transactions and entries.

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
create type credit_account_kind as enum (
    'available', 'held', 'debt',
    'sales', 'subscription', 'welcome', 'adjustment', 'consumption', 'clawback'
);

create table credit_accounts (
    id bigint generated always as identity primary key,
    user_id uuid references users (id) on delete restrict,
    kind credit_account_kind not null,
    balance bigint not null default 0,
    updated_at timestamptz(3) not null default now(),
    check ((kind in ('available', 'held', 'debt')) = (user_id is not null)),
    check (kind <> 'held' or balance >= 0),
    check (kind <> 'debt' or balance <= 0),
    -- System accounts keep no running balance: it would be one hot row for everybody.
    check (user_id is not null or balance = 0)
) with (fillfactor = 80);
create unique index credit_accounts_user_kind on credit_accounts (user_id, kind) where user_id is not null;
create unique index credit_accounts_system_kind on credit_accounts (kind) where user_id is null;

insert into credit_accounts (kind) values
    ('sales'), ('subscription'), ('welcome'), ('adjustment'), ('consumption'), ('clawback');

create table credit_transactions (
    id uuid primary key,
    kind text not null check (kind in (
        'welcome', 'purchase', 'subscription_period', 'upgrade_difference',
        'hold', 'capture', 'release', 'refund', 'dispute', 'dispute_won', 'debt_settlement', 'adjustment'
    )),
    source_type text not null,
    source_id text not null,
    user_id uuid not null references users (id) on delete restrict,
    meta jsonb not null default '{}',
    created_at timestamptz(3) not null default now(),
    unique (kind, source_type, source_id)
);
create index credit_transactions_user_id on credit_transactions (user_id, created_at);

create table credit_entries (
    id bigint generated always as identity primary key,
    transaction_id uuid not null references credit_transactions (id) on delete restrict,
    account_id bigint not null references credit_accounts (id) on delete restrict,
    amount bigint not null check (amount <> 0),
    -- Balance of a user's account after this entry; null for system accounts.
    balance_after bigint
);
create index credit_entries_transaction_id on credit_entries (transaction_id);
create index credit_entries_account_id on credit_entries (account_id, id);

-- Every posting inserts all its entries in one statement, so those alone have to balance.
create function credit_entries_must_balance() returns trigger language plpgsql as $$
begin
    if exists (
        select 1 from added group by transaction_id having sum(amount) <> 0 or count(*) < 2
    ) then
        raise exception 'entries of a credit transaction must sum to zero' using errcode = 'check_violation';
    end if;
    return null;
end $$;
create trigger credit_entries_balance after insert on credit_entries
    referencing new table as added for each statement execute function credit_entries_must_balance();

create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% is append-only', tg_table_name using errcode = 'restrict_violation';
end $$;
create trigger credit_entries_append_only before update or delete or truncate on credit_entries
    for each statement execute function refuse_change();
create trigger credit_transactions_append_only before update or delete or truncate on credit_transactions
    for each statement execute function refuse_change();

alter table credit_accounts enable row level security;
alter table credit_transactions enable row level security;
alter table credit_entries enable row level security;
";

const DOWN: &str = r"
drop table credit_entries;
drop table credit_transactions;
drop table credit_accounts;
drop function credit_entries_must_balance();
drop function refuse_change();
drop type credit_account_kind;
";
