//! What operators look at: totals of finished jobs, and idempotency keys with markers.

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
-- Text, not jsonb: a replay gives the same bytes.
alter table idempotency_keys alter column response type text using response::text;
-- Whose request still runs; only that one may write the answer. Its lease is locked_until.
alter table idempotency_keys add column marker uuid;
alter table idempotency_keys add constraint idempotency_keys_running check (
    (status is null) = (marker is not null) and (status is null) = (locked_until is not null));

-- Finished jobs in the order in which they finished, for recent rates and the roll-up below.
create index jobs_completed on jobs (completed_at) where completed_at is not null;

-- Finished jobs up to job_totals_mark, added up. Counters over millions of jobs stay cheap so.
create table job_totals (
    type job_type not null,
    provider text not null,
    status job_status not null,
    error_code text not null default '',
    -- Place of the duration among the bounds of job_duration_seconds; -1: never started.
    bucket smallint not null,
    jobs bigint not null check (jobs >= 0),
    seconds double precision not null default 0,
    credits bigint not null default 0 check (credits >= 0),
    primary key (type, provider, status, error_code, bucket)
);
create table job_totals_mark (
    id boolean primary key default true check (id),
    -- Jobs that finished until then are in job_totals, and no others.
    counted_until timestamptz not null
);
insert into job_totals_mark (counted_until) values ('-infinity');

alter table job_totals enable row level security;
alter table job_totals_mark enable row level security;
";

const DOWN: &str = r"
drop table job_totals_mark;
drop table job_totals;
drop index jobs_completed;
alter table idempotency_keys drop constraint idempotency_keys_running;
delete from idempotency_keys;
alter table idempotency_keys drop column marker;
alter table idempotency_keys alter column response type jsonb using response::jsonb;
";
