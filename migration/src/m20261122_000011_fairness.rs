//! What fair claims need: a job's turn among waiting jobs, counters per user and provider that make
//! limits exact, and the wish to cancel.

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
-- Round of its queue in which a waiting job is served: one more than the user's last waiting job has
-- and than the queue's next one, so that users take turns however many jobs each has.
alter table jobs add column turn bigint not null default 0;
alter table jobs add column cancel_requested_at timestamptz(3);
-- Whether the running job is counted in its provider's gate.
alter table jobs add column is_gated boolean not null default false;

-- Counted under the lock of the row, which every visible change takes: limits are exact in races.
alter table event_sequences add column waiting integer not null default 0 check (waiting >= 0);
alter table event_sequences add column running integer not null default 0 check (running >= 0);
update event_sequences s set
    waiting = (select count(*) from jobs where user_id = s.user_id and status = 'PENDING'),
    running = (select count(*) from jobs where user_id = s.user_id and status = 'PROCESSING');

drop index jobs_user_open;
drop index jobs_due;
create index jobs_waiting on jobs (queue, priority desc, turn, created_at) where status = 'PENDING';
create index jobs_waiting_of_user on jobs (user_id, queue, turn) where status = 'PENDING';
create index jobs_running on jobs (queue, next_run_at) where status = 'PROCESSING';

-- Limits and health of an upstream provider, shared by all processes.
create table provider_gates (
    provider text primary key,
    -- Jobs that may run at the same time; null: as many as there are workers.
    max_running integer check (max_running > 0),
    running integer not null default 0 check (running >= 0),
    -- Jobs that may start in a minute; null: no limit. `tokens` starts are left, as of `refilled_at`.
    starts_per_minute integer check (starts_per_minute > 0),
    tokens double precision not null default 0,
    refilled_at timestamptz not null default now(),
    -- The circuit breaker: failures in a row, how often it opened in a row, until when it is open, and
    -- until when the one job that tries the provider out may take.
    failures integer not null default 0 check (failures >= 0),
    last_failure_at timestamptz,
    trips integer not null default 0 check (trips >= 0),
    open_until timestamptz,
    probe_until timestamptz
) with (fillfactor = 50);
alter table provider_gates enable row level security;

-- Starts that a gate has left now: refilled steadily, at most those of ten seconds, at least one.
create function gate_tokens(gate provider_gates) returns double precision language sql stable as $$
    select least(
        greatest(1, gate.starts_per_minute / 6.0),
        gate.tokens + extract(epoch from now() - gate.refilled_at) * gate.starts_per_minute / 60.0)
$$;

-- Whether a gate lets a job start now.
create function gate_is_open(gate provider_gates) returns boolean language sql stable as $$
    select (gate.max_running is null or gate.running < gate.max_running)
       and (gate.starts_per_minute is null or gate_tokens(gate) >= 1)
       and (gate.open_until is null
            or (gate.open_until <= now() and (gate.probe_until is null or gate.probe_until <= now())))
$$;

-- Takes a whole claim back when another one was faster at the gate; the caller claims again.
create function claim_raced() returns boolean language plpgsql as $$
begin
    raise exception 'another claim was faster' using errcode = 'serialization_failure';
end $$;
";

const DOWN: &str = r"
drop function claim_raced();
drop function gate_is_open(provider_gates);
drop function gate_tokens(provider_gates);
drop table provider_gates;
drop index jobs_running;
drop index jobs_waiting_of_user;
drop index jobs_waiting;
create index jobs_due on jobs (queue, next_run_at) where status in ('PENDING', 'PROCESSING');
create index jobs_user_open on jobs (user_id, status) where status in ('PENDING', 'PROCESSING');
alter table event_sequences drop column running;
alter table event_sequences drop column waiting;
alter table jobs drop column is_gated;
alter table jobs drop column cancel_requested_at;
alter table jobs drop column turn;
";
