//! Places: a job holds as many in its provider's gate as it may have tasks upstream at once. Breakers
//! know which job tries a provider out, and count looks apart from submissions.

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
-- Places of its provider's gate that the job took when it was claimed; they are free again when it
-- leaves PROCESSING. 0: the provider had no gate.
alter table jobs add column places integer not null default 0 check (places >= 0);
update jobs set places = 1 where is_gated and status = 'PROCESSING';
alter table jobs drop column is_gated;

-- What frees a place of a provider finds the next job without reading its backlog.
create index jobs_waiting_of_provider on jobs (provider, queue, priority desc, turn, created_at)
    where status = 'PENDING';

alter table provider_gates
    -- Failed looks in a row at tasks that run upstream; `failures` are failed submissions in a row.
    add column poll_failures integer not null default 0 check (poll_failures >= 0),
    -- The job that tries the provider out, or did so last.
    add column probe_job uuid;

-- Tasks that a job makes upstream: one, or one for each item of a batch.
create function job_tasks(job jobs) returns integer language sql stable as $$
    select case when job.type = 'BATCH_GENERATION'
        then greatest(1, (select count(*) from job_items i where i.job_id = job.id))::integer
        else 1 end
$$;

-- Tasks that a job may have upstream at the same time: the places that it wants.
create function job_width(job jobs) returns integer language sql stable as $$
    select case when job.type = 'BATCH_GENERATION'
        then greatest(1, least(job_tasks(job), case when jsonb_typeof(job.input -> 'batchSize') = 'number'
                then (job.input ->> 'batchSize')::numeric end))::integer
        else 1 end
$$;
";

const DOWN: &str = r"
drop function job_width(jobs);
drop function job_tasks(jobs);
alter table provider_gates drop column probe_job, drop column poll_failures;
drop index jobs_waiting_of_provider;
alter table jobs add column is_gated boolean not null default false;
update jobs set is_gated = true where places > 0;
update provider_gates g set running = (
    select count(*) from jobs j where j.provider = g.provider and j.status = 'PROCESSING' and j.is_gated);
alter table jobs drop column places;
";
