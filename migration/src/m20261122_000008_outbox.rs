//! The outbox follows a delivery from the commit to its arrival.

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
drop index delivery_outbox_open;
alter table delivery_outbox
    -- A delivery can be used up without its job being claimed, so a claim may need several.
    drop constraint delivery_outbox_job_id_claim_no_key,
    -- Full precision: rounded down, a task would come before its job is due.
    alter column not_before type timestamptz,
    -- Owner of the job; kept here so that users get their turns without reading every waiting row.
    add column user_id uuid,
    -- Class of the worker that takes it.
    add column worker text not null default '',
    -- Whether it waits for its user's turn: the job was to be started, at once.
    add column takes_turn boolean not null default false,
    -- Not sent before then: the carrier refused it.
    add column retry_at timestamptz not null default now(),
    -- When the carrier is asked next whether the sent task still exists; null before it is sent.
    add column check_at timestamptz,
    add column checks integer not null default 0,
    -- When it arrived, or became useless.
    add column taken_at timestamptz(3);
update delivery_outbox d set user_id = j.user_id from jobs j where j.id = d.job_id;
alter table delivery_outbox
    alter column user_id set not null,
    alter column worker drop default,
    alter column takes_turn drop default;
create index delivery_outbox_turns on delivery_outbox (user_id, priority desc, id)
    where sent_at is null and taken_at is null and takes_turn;
create index delivery_outbox_open on delivery_outbox (id)
    where sent_at is null and taken_at is null and not takes_turn;
create index delivery_outbox_check on delivery_outbox (check_at) where sent_at is not null and taken_at is null;
create index delivery_outbox_live on delivery_outbox (job_id) where taken_at is null;
create index delivery_outbox_job on delivery_outbox (job_id);
create index delivery_outbox_taken on delivery_outbox (taken_at) where taken_at is not null;
";

const DOWN: &str = r"
drop index delivery_outbox_taken;
drop index delivery_outbox_job;
drop index delivery_outbox_live;
drop index delivery_outbox_check;
drop index delivery_outbox_open;
drop index delivery_outbox_turns;
delete from delivery_outbox d using delivery_outbox newer
    where newer.job_id = d.job_id and newer.claim_no = d.claim_no and newer.id > d.id;
alter table delivery_outbox
    drop column taken_at,
    drop column checks,
    drop column check_at,
    drop column retry_at,
    drop column takes_turn,
    drop column worker,
    drop column user_id,
    alter column not_before type timestamptz(3),
    add constraint delivery_outbox_job_id_claim_no_key unique (job_id, claim_no);
create index delivery_outbox_open on delivery_outbox (not_before, id) where sent_at is null;
";
