//! Jobs, their event log, and the outbox for carriers outside the database.

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
create type job_type as enum (
    'IMAGE_GENERATION', 'VIDEO_GENERATION', 'IMAGE_UPSCALE', 'BATCH_GENERATION', 'SCENE_GENERATION'
);
create type job_status as enum ('PENDING', 'PROCESSING', 'COMPLETED', 'FAILED', 'CANCELLED');

create table jobs (
    id uuid primary key,
    user_id uuid not null references users (id) on delete restrict,
    type job_type not null,
    status job_status not null default 'PENDING',
    queue text not null,
    provider text not null,
    model text not null,
    prompt text,
    -- The request as the worker needs it: validated options and object keys, never bytes.
    input jsonb not null,
    -- What the owner may see beside the columns; never images or temporary addresses.
    metadata jsonb not null default '{}',
    warnings jsonb not null default '[]',
    progress smallint not null default 0 check (progress between 0 and 100),
    stage text,
    -- Credits held for it.
    cost bigint not null check (cost >= 0),
    priority integer not null default 0,
    -- Grows with every claim: the fence that refuses a worker presumed dead.
    claim_no integer not null default 0 check (claim_no >= 0),
    -- Failed tries; the attempt limit counts these only.
    tries integer not null default 0 check (tries >= 0),
    -- Times the lease ran out under a worker.
    rescues integer not null default 0 check (rescues >= 0),
    -- Process that works on it now.
    lease_owner uuid,
    -- When it may be claimed next; while leased, when the lease runs out; null once it is final.
    -- Full precision: rounded up, a job would not be due yet when its delivery arrives.
    next_run_at timestamptz default now(),
    -- Given up when still unfinished then.
    deadline_at timestamptz(3) not null,
    -- What the upstream provider calls it, with what polling needs.
    upstream_id text,
    upstream jsonb,
    upstream_since timestamptz(3),
    -- Object keys and file ids of a finished job.
    result jsonb,
    result_key text,
    -- The sentence for the owner, its stable code, and the private detail for operators.
    error text,
    error_code text,
    error_detail text,
    request_id text,
    correlation_id text,
    created_at timestamptz(3) not null default now(),
    updated_at timestamptz(3) not null default now(),
    started_at timestamptz(3),
    completed_at timestamptz(3),
    check (lease_owner is null or status = 'PROCESSING'),
    check ((status in ('COMPLETED', 'FAILED', 'CANCELLED')) = (completed_at is not null)),
    check ((status in ('PENDING', 'PROCESSING')) = (next_run_at is not null)),
    check (status <> 'COMPLETED' or (progress = 100 and result_key is not null)),
    check (status <> 'FAILED' or error is not null)
) with (fillfactor = 70);
create index jobs_user_created on jobs (user_id, created_at desc, id desc);
create index jobs_user_open on jobs (user_id, status) where status in ('PENDING', 'PROCESSING');
create index jobs_due on jobs (queue, next_run_at) where status in ('PENDING', 'PROCESSING');
create index jobs_status_created on jobs (status, created_at);

-- A final state is final, whoever writes.
create function jobs_refuse_revival() returns trigger language plpgsql as $$
begin
    raise exception 'job % is final', old.id using errcode = 'check_violation';
end $$;
create trigger jobs_final before update on jobs for each row
    when (old.status in ('COMPLETED', 'FAILED', 'CANCELLED') and new.status is distinct from old.status)
    execute function jobs_refuse_revival();

-- One row a user: handing out event numbers under its lock makes them visible in order.
create table event_sequences (
    user_id uuid primary key references users (id) on delete cascade,
    last_seq bigint not null default 0
) with (fillfactor = 50);

create table job_events (
    user_id uuid not null references users (id) on delete cascade,
    seq bigint not null,
    job_id uuid not null references jobs (id) on delete cascade,
    payload jsonb not null,
    created_at timestamptz(3) not null default now(),
    primary key (user_id, seq)
);
create index job_events_job_id on job_events (job_id, seq);
create index job_events_created_at on job_events (created_at);

-- Deliveries that a carrier outside this database still has to be told about.
create table delivery_outbox (
    id bigint generated always as identity primary key,
    job_id uuid not null references jobs (id) on delete cascade,
    claim_no integer not null,
    queue text not null,
    priority integer not null default 0,
    not_before timestamptz(3) not null default now(),
    attempts integer not null default 0,
    last_error text,
    created_at timestamptz(3) not null default now(),
    sent_at timestamptz(3),
    unique (job_id, claim_no)
);
create index delivery_outbox_open on delivery_outbox (not_before, id) where sent_at is null;

alter table jobs enable row level security;
alter table event_sequences enable row level security;
alter table job_events enable row level security;
alter table delivery_outbox enable row level security;
";

const DOWN: &str = r"
drop table delivery_outbox;
drop table job_events;
drop table event_sequences;
drop table jobs;
drop function jobs_refuse_revival();
drop type job_status;
drop type job_type;
";
