//! What a worker changes about its job, alone or together with what a finished job brings about.

use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, FromQueryResult, Value};

use super::{
    Entity, Fence, allowed_from,
    change::{Change, Upstream},
    claim::is_serialization_failure,
};
use crate::models::{
    Compound, Step, enum_text, object_deletions,
    r2_files::{self, NewFile},
};

/// What a change that was written brings about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromQueryResult)]
pub struct Changed {
    /// The user was at the running limit and is below it now.
    pub frees_user: bool,
    /// Jobs of the provider that may start now because a limit or a probe held them back.
    pub frees_provider: i32,
    /// The owner wants the job cancelled.
    pub is_cancel_requested: bool,
}

/// What a finished job is paid with: steps of the ledger, what of them has a row as soon as there is
/// something to pay with, and what has one when the accounts are locked and written.
#[derive(Debug)]
pub struct Payment {
    pub(crate) step: Step,
    pub(crate) begun: &'static str,
    pub(crate) done: &'static str,
}

/// What comes with the completion of a job.
#[derive(Debug)]
pub struct Yield<'a> {
    /// `None` for a job that costs nothing.
    pub payment: Option<Payment>,
    pub files: &'a [NewFile],
    /// Objects that are of no use any more.
    pub inputs_prefix: Option<&'a str>,
}

impl Entity {
    /// Applies a change for the holder of a claim; `None` when the claim is stale, its lease was
    /// given back, or the edge is not allowed, and then nothing is written.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn transition(
        db: &impl ConnectionTrait,
        fence: Fence,
        change: &Change,
        max_running_per_user: i64,
    ) -> Result<Option<Changed>, DbErr> {
        let statement = Compound::default()
            .step(transition_step(fence, change, max_running_per_user, None))
            .select(CHANGED);
        Changed::find_by_statement(statement).one(db).await
    }

    /// Changes a job that is finished, together with its payment, its files and the deletion of its
    /// inputs, in one statement: one round trip, and a transaction by itself. The payment's locks are
    /// taken before that of the job. `None` when the change is refused or there is nothing to pay with,
    /// and then nothing is written.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn complete(
        db: &DatabaseConnection,
        fence: Fence,
        change: &Change,
        max_running_per_user: i64,
        gained: Yield<'_>,
    ) -> Result<Option<Changed>, DbErr> {
        let mut compound = Compound::default();
        let mut answer = CHANGED.to_owned();
        let mut after = None;
        if let Some(Payment { step, begun, done }) = gained.payment {
            compound = compound.step(step);
            after = Some(done);
            // Paid, but not changed: all of it is taken back.
            answer
                .push_str(" union all select claim_raced(), 0, false where exists (select 1 from ");
            answer.push_str(begun);
            answer.push_str(") and not exists (select 1 from job)");
        }
        compound = compound.step(transition_step(fence, change, max_running_per_user, after));
        for (index, file) in gained.files.iter().enumerate() {
            compound = compound.step(r2_files::insert_step(index, file, "job"));
        }
        if let Some(prefix) = gained.inputs_prefix {
            compound = compound.step(object_deletions::schedule_step(prefix, "job"));
        }
        let written = Changed::find_by_statement(compound.select(&answer))
            .one(db)
            .await;
        match written {
            Err(error) if is_serialization_failure(&error) => Ok(None),
            written => written,
        }
    }
}

/// `next_run_at` of a kept lease is left to the heartbeat. It counts from the transaction's start, as
/// the delivery does that is sent with the change: otherwise that would come a moment too early. A
/// leased job is always PROCESSING, so leaving that state frees a slot. A job that is worked on no more
/// tries no provider out: the next one may. Counters are kept from falling below zero, because a wrong
/// one must not keep money from moving; a duty mends it.
const TRANSITION: &str = concat!(
    "
job as (
    update jobs set
        status = $3::job_status,
        lease_owner = case when $6 then lease_owner end,
        next_run_at = case
            when $3 in ('COMPLETED', 'FAILED', 'CANCELLED') then null
            when $6 then next_run_at
            when cancel_requested_at is not null then now()
            else least(now() + coalesce($9, 0) * interval '1 millisecond', greatest(deadline_at, now())) end,
        progress = coalesce($7, progress),
        stage = case when cancel_requested_at is not null and $3 in ('PENDING', 'PROCESSING')
            then stage else coalesce($8, stage) end,
        tries = tries + $10,
        upstream_id = case $11 when 0 then upstream_id else $12 end,
        upstream = case $11 when 0 then upstream else $13 end,
        upstream_since = case $11 when 0 then upstream_since when 2 then clock_timestamp() end,
        result = coalesce($14, result),
        result_key = coalesce($15, result_key),
        warnings = coalesce($16, warnings),
        error = $17,
        error_code = $18,
        error_detail = $19,
        completed_at = case when $3 in ('COMPLETED', 'FAILED', 'CANCELLED') then clock_timestamp() end,
        updated_at = clock_timestamp()
    where id = $1 and claim_no = $2 and lease_owner is not null
      and status = any (string_to_array($4, ',')::job_status[]) and (/* after */)
    returning *, $3 <> 'PROCESSING' as leaves, $20::bigint as max_running_of_user
), lane as (
    update event_sequences s set
        last_seq = s.last_seq + 1,
        waiting = s.waiting + (case when $3 = 'PENDING' then 1 else 0 end),
        running = greatest(0, s.running - (case when $3 = 'PROCESSING' then 0 else 1 end))
    from job where $5 and s.user_id = job.user_id
    returning s.user_id, s.last_seq, s.running
), gate as (
    update provider_gates g set
        running = greatest(0, g.running - (case when $3 = 'PROCESSING' then 0 else job.places end)),
        probe_until = case when g.probe_job = job.id then null else g.probe_until end,
        probe_job = case when g.probe_job = job.id then null else g.probe_job end
    from job left join lane on lane.user_id = job.user_id
    where g.provider = job.provider
      and ((job.places > 0 and $3 <> 'PROCESSING') or (g.probe_job = job.id and not $6))
    returning g.running, g.max_running
), ",
    event!()
);

/// What a transition gives: see [`Changed`].
const CHANGED: &str = "
job.leaves and coalesce((select running >= job.max_running_of_user - 1 from lane), false) as frees_user,
case
    when job.leaves and (select running + job.places >= max_running from gate) then job.places
    when exists (select 1 from gate) and exists (
        select 1 from provider_gates g where g.provider = job.provider and g.probe_job = job.id) then 1
    else 0 end as frees_provider,
job.cancel_requested_at is not null as is_cancel_requested
from job";

/// A transition as part of a larger statement. It gives a row in `job`, unless the change is refused.
/// With `after` the job is locked when what is named so has a row, and not changed otherwise.
fn transition_step(
    fence: Fence,
    change: &Change,
    max_running_per_user: i64,
    after: Option<&str>,
) -> Step {
    let from: Vec<String> = allowed_from(&change.to).iter().map(enum_text).collect();
    let (upstream_mode, upstream_id, upstream) = match &change.upstream {
        Upstream::Keep => (0, None, None),
        Upstream::Forget => (1, None, None),
        Upstream::Set { id, state } => (2, Some(id.clone()), Some(state.clone())),
    };
    let values: [Value; 20] = [
        fence.job_id.into(),
        fence.claim_no.into(),
        enum_text(&change.to).into(),
        from.join(",").into(),
        change.is_visible.into(),
        change.keeps_lease.into(),
        change.progress.into(),
        change.stage.clone().into(),
        change.next_in_ms.into(),
        i32::from(change.counts_as_try).into(),
        upstream_mode.into(),
        upstream_id.into(),
        upstream.into(),
        change.result.clone().into(),
        change.result_key.clone().into(),
        change.warnings.clone().into(),
        change.error.clone().into(),
        change.error_code.clone().into(),
        change.error_detail.clone().into(),
        max_running_per_user.into(),
    ];
    let after = after.map_or_else(
        || "true".to_owned(),
        |name| format!("exists (select 1 from {name})"),
    );
    Step::new(TRANSITION.replace("/* after */", &after), values)
}
