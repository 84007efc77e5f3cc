//! Limits and circuit breakers of upstream providers, shared by all processes. Claims take places and
//! starts here (`jobs/claim.rs`); this file sets limits and keeps the breaker.

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, prelude::Uuid};

pub use super::_entities::provider_gates::*;
use super::statement;

/// How much of a provider may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits<'a> {
    pub provider: &'a str,
    pub max_running: Option<i32>,
    pub starts_per_minute: Option<i32>,
}

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct BreakerRule {
    /// Failures in a row that open it.
    pub failures: i32,
    /// Milliseconds without a failure after which the count begins anew.
    pub window_ms: i64,
    /// Milliseconds it stays open, doubled each time it opens again, up to the maximum.
    pub open_ms: i64,
    pub max_open_ms: i64,
}

/// What was asked of a provider. Both are counted by themselves: looks that succeed do not show that
/// work is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    Submit,
    Poll,
}

/// A provider that failed lately.
#[derive(Debug, Clone, FromQueryResult)]
pub struct Ailing {
    pub provider: String,
    /// Milliseconds for which its breaker is open; not above 0 when it may be tried out, null when the
    /// breaker is closed.
    pub open_ms: Option<i64>,
}

/// Whether something may be submitted to a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passage {
    /// Its breaker is closed.
    Free,
    /// This job tries it out.
    Probe,
    /// Its breaker is open for these milliseconds.
    Open(i64),
    /// Another job tries it out.
    Waits,
}

#[derive(Debug, FromQueryResult)]
struct PassageRow {
    open_ms: i64,
    is_probe: bool,
}

/// A counter that is not what it counts.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub struct Miscount {
    /// `None` for a provider's counter.
    pub user_id: Option<Uuid>,
    pub provider: Option<String>,
}

#[derive(Debug, FromQueryResult)]
struct OpenedRow {
    opened_ms: Option<i64>,
}

const NOTE_FAILURE: &str = "
with gate as (
    select provider,
           (case when is_over then 0 else failures end) + (case when $6 then 0 else 1 end) as failures,
           (case when is_over then 0 else poll_failures end) + (case when $6 then 1 else 0 end) as poll_failures,
           was_open, is_open, pause_ms
    from (
        select provider, failures, poll_failures,
               coalesce(last_failure_at < now() - $3 * interval '1 millisecond', false)
                   and open_until is null as is_over,
               open_until is not null as was_open,
               coalesce(open_until > now(), false) as is_open,
               least($4 * power(2, least(trips, 20)), $5)::bigint as pause_ms
        from provider_gates where provider = $1 for no key update) g
), opened as (
    update provider_gates g set
        failures = gate.failures,
        poll_failures = gate.poll_failures,
        last_failure_at = now(),
        trips = g.trips + 1,
        open_until = now() + gate.pause_ms * interval '1 millisecond',
        probe_until = null
    from gate
    where g.provider = gate.provider and not gate.is_open
      and (gate.was_open or greatest(gate.failures, gate.poll_failures) >= $2)
    returning gate.pause_ms
), counted as (
    update provider_gates g set
        failures = gate.failures, poll_failures = gate.poll_failures, last_failure_at = now()
    from gate
    where g.provider = gate.provider and not gate.is_open
      and not (gate.was_open or greatest(gate.failures, gate.poll_failures) >= $2)
)
select (select pause_ms from opened) as opened_ms";

impl Entity {
    /// Puts the limits of the settings in force; a provider that is not named has none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn configure(db: &impl ConnectionTrait, limits: &[Limits<'_>]) -> Result<(), DbErr> {
        let providers: Vec<String> = limits.iter().map(|l| l.provider.to_owned()).collect();
        let max_running: Vec<Option<i32>> = limits.iter().map(|l| l.max_running).collect();
        let starts: Vec<Option<i32>> = limits.iter().map(|l| l.starts_per_minute).collect();
        let array = |values: Vec<Option<i32>>| serde_json::json!(values);
        db.execute_raw(statement(
            "with wanted as (
                select p.provider, (m.value #>> '{}')::integer as max_running,
                       (s.value #>> '{}')::integer as starts_per_minute
                from unnest($1::text[]) with ordinality p (provider, n)
                join jsonb_array_elements($2) with ordinality m on m.ordinality = p.n
                join jsonb_array_elements($3) with ordinality s on s.ordinality = p.n
            ), unlimited as (
                update provider_gates g set max_running = null, starts_per_minute = null
                where not exists (select 1 from wanted w where w.provider = g.provider)
                  and (g.max_running is not null or g.starts_per_minute is not null)
            )
            insert into provider_gates (provider, max_running, starts_per_minute, tokens)
            select provider, max_running, starts_per_minute, greatest(1, starts_per_minute / 6.0) from wanted
            where max_running is not null or starts_per_minute is not null
               or exists (select 1 from provider_gates g where g.provider = wanted.provider)
            on conflict (provider) do update set
                max_running = excluded.max_running, starts_per_minute = excluded.starts_per_minute
            where (provider_gates.max_running, provider_gates.starts_per_minute)
                is distinct from (excluded.max_running, excluded.starts_per_minute)",
            [
                providers.into(),
                array(max_running).into(),
                array(starts).into(),
            ],
        ))
        .await?;
        Ok(())
    }

    /// Counts a failure of a provider; gives the milliseconds for which its breaker opened, if it did.
    /// A failure after an open time closes nothing: it opens the breaker again, for longer.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn note_failure(
        db: &impl ConnectionTrait,
        provider: &str,
        call: Call,
        rule: BreakerRule,
    ) -> Result<Option<i64>, DbErr> {
        db.execute_raw(statement(
            "insert into provider_gates (provider) values ($1) on conflict do nothing",
            [provider.into()],
        ))
        .await?;
        let row = OpenedRow::find_by_statement(statement(
            NOTE_FAILURE,
            [
                provider.into(),
                rule.failures.into(),
                rule.window_ms.into(),
                rule.open_ms.into(),
                rule.max_open_ms.into(),
                (call == Call::Poll).into(),
            ],
        ))
        .one(db)
        .await?;
        Ok(row.and_then(|row| row.opened_ms))
    }

    /// Notes that a provider answers. A submission that it took makes all failures forgotten and closes
    /// its breaker; a look only ends a row of failed looks.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn note_success(
        db: &impl ConnectionTrait,
        provider: &str,
        call: Call,
    ) -> Result<(), DbErr> {
        let sql = match call {
            Call::Submit => {
                "update provider_gates set
                    failures = 0, poll_failures = 0, trips = 0, open_until = null, probe_until = null
                 where provider = $1 and (failures > 0 or poll_failures > 0 or open_until is not null)
                   and (open_until is null or open_until <= now())"
            }
            Call::Poll => {
                "update provider_gates set poll_failures = 0
                 where provider = $1 and poll_failures > 0 and open_until is null"
            }
        };
        db.execute_raw(statement(sql, [provider.into()])).await?;
        Ok(())
    }

    /// The providers that failed lately.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn ailing(db: &impl ConnectionTrait) -> Result<Vec<Ailing>, DbErr> {
        Ailing::find_by_statement(statement(
            "select provider, (extract(epoch from open_until - now()) * 1000)::bigint as open_ms
             from provider_gates
             where open_until is not null or failures > 0 or poll_failures > 0 order by provider",
            [],
        ))
        .all(db)
        .await
    }

    /// Asks for a job whether it may submit something; after the open time of a breaker one job at a
    /// time may, for a minute or until it is known how that went.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn pass(
        db: &impl ConnectionTrait,
        provider: &str,
        job_id: Uuid,
    ) -> Result<Passage, DbErr> {
        let row = PassageRow::find_by_statement(statement(
            "with gate as (
                select provider, open_until, probe_until, probe_job from provider_gates
                where provider = $1 and open_until is not null for no key update
             ), probe as (
                update provider_gates g set probe_until = now() + interval '1 minute', probe_job = $2
                from gate
                where g.provider = gate.provider and gate.open_until <= now()
                  and (gate.probe_until is null or gate.probe_until <= now() or gate.probe_job = $2)
                returning g.provider
             )
             select ceil(extract(epoch from gate.open_until - now()) * 1000)::bigint as open_ms,
                    exists (select 1 from probe) as is_probe
             from gate",
            [provider.into(), job_id.into()],
        ))
        .one(db)
        .await?;
        Ok(match row {
            None => Passage::Free,
            Some(row) if row.is_probe => Passage::Probe,
            Some(row) if row.open_ms > 0 => Passage::Open(row.open_ms),
            Some(_) => Passage::Waits,
        })
    }

    /// Lets another job try a provider out, because this one did not find out how it is.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end_probe(
        db: &impl ConnectionTrait,
        provider: &str,
        job_id: Uuid,
    ) -> Result<(), DbErr> {
        db.execute_raw(statement(
            "update provider_gates set probe_until = null
             where provider = $1 and probe_job = $2 and probe_until is not null",
            [provider.into(), job_id.into()],
        ))
        .await?;
        Ok(())
    }

    /// The counters of users and providers that are not what they count.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn miscounts(db: &impl ConnectionTrait) -> Result<Vec<Miscount>, DbErr> {
        Miscount::find_by_statement(statement(
            "select s.user_id, null::text as provider
             from event_sequences s
             left join (
                select user_id, count(*) filter (where status = 'PENDING') as waiting,
                       count(*) filter (where status = 'PROCESSING') as running
                from jobs where status in ('PENDING', 'PROCESSING') group by user_id) c using (user_id)
             where (s.waiting, s.running) is distinct from (coalesce(c.waiting, 0), coalesce(c.running, 0))
             union all
             select null, g.provider
             from provider_gates g
             where g.running <> (select coalesce(sum(j.places), 0) from jobs j
                                 where j.provider = g.provider and j.status = 'PROCESSING')",
            [],
        ))
        .all(db)
        .await
    }

    /// Counts anew. To be run in a transaction: the first statement locks the counter, so that the
    /// second one sees every change that it counts and no change is counted twice.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn recount(db: &impl ConnectionTrait, wrong: &Miscount) -> Result<(), DbErr> {
        for sql in [
            "select 1 from event_sequences s where s.user_id = $1 and $2::text is null for no key update",
            "select 1 from provider_gates g where g.provider = $2 and $1::uuid is null for no key update",
            "update event_sequences s set
                waiting = (select count(*) from jobs where user_id = $1 and status = 'PENDING'),
                running = (select count(*) from jobs where user_id = $1 and status = 'PROCESSING')
             where s.user_id = $1 and $2::text is null",
            "update provider_gates g set running = (
                select coalesce(sum(j.places), 0) from jobs j
                where j.provider = $2 and j.status = 'PROCESSING')
             where g.provider = $2 and $1::uuid is null",
        ] {
            db.execute_raw(statement(
                sql,
                [wrong.user_id.into(), wrong.provider.clone().into()],
            ))
            .await?;
        }
        Ok(())
    }
}
