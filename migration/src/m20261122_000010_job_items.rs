//! The items of batch jobs.

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
create type item_status as enum ('PENDING', 'SUBMITTED', 'COMPLETED', 'FAILED');

create table job_items (
    job_id uuid not null references jobs (id) on delete cascade,
    -- Index of its prompt, from 0.
    position integer not null check (position between 0 and 999),
    prompt text not null check (char_length(prompt) between 1 and 4096),
    status item_status not null default 'PENDING',
    -- Failed tries; the attempt limit counts these only.
    tries integer not null default 0 check (tries >= 0),
    -- Times it was taken up and did not end; the pauses of waits that cost no try grow with it.
    attempts integer not null default 0 check (attempts >= tries),
    -- What the upstream provider calls it, with what polling needs.
    upstream_id text,
    upstream jsonb,
    upstream_since timestamptz(3),
    -- When it may be taken up or looked at next; null once it is final.
    next_run_at timestamptz default now(),
    -- The stored picture of a finished item.
    file_id uuid,
    object_key text,
    mime_type text,
    -- The sentence for the owner, its stable code, and the private detail for operators. The latter
    -- two also of the last failure of an item that is tried again.
    error text,
    error_code text,
    error_detail text,
    updated_at timestamptz(3) not null default now(),
    completed_at timestamptz(3),
    primary key (job_id, position),
    check ((status in ('PENDING', 'SUBMITTED')) = (next_run_at is not null)),
    check ((status in ('COMPLETED', 'FAILED')) = (completed_at is not null)),
    check (status <> 'PENDING' or upstream_id is null),
    check (status <> 'SUBMITTED' or (upstream_id is not null and upstream_since is not null)),
    check ((status = 'COMPLETED') = (object_key is not null)),
    check ((object_key is null) = (file_id is null) and (object_key is null) = (mime_type is null)),
    check ((status = 'FAILED') = (error is not null))
) with (fillfactor = 70);

-- A final item is final, whoever writes.
create function job_items_refuse_revival() returns trigger language plpgsql as $$
begin
    raise exception 'item % of job % is final', old.position, old.job_id using errcode = 'check_violation';
end $$;
create trigger job_items_final before update on job_items for each row
    when (old.status in ('COMPLETED', 'FAILED') and new.status is distinct from old.status)
    execute function job_items_refuse_revival();

alter table job_items enable row level security;
";

const DOWN: &str = r"
drop table job_items;
drop function job_items_refuse_revival();
drop type item_status;
";
