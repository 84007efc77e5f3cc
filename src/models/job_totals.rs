//! Finished jobs, added up: what counters over the whole history are read from.
//!
//! Workers are processes of their own, so figures about jobs come from the database, where they are
//! right for all of them. Reading every finished job for each look would not stay cheap: a duty adds
//! finished jobs to `job_totals` up to a mark, and a look reads the totals and what finished since.

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};

pub use super::_entities::job_totals::*;
use super::statement;

/// Upper bounds of the buckets of `job_duration_seconds`, seconds (platform contract 10.3).
pub const DURATION_BOUNDS: [f64; 10] = [0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];

/// One line of the figures.
#[derive(Debug, Clone, PartialEq, FromQueryResult)]
pub struct Figure {
    /// `open`: waiting and running jobs; `recent`: finished within the window; `total`: finished ever.
    pub section: String,
    pub job_type: String,
    pub status: String,
    /// Empty in `open`.
    pub provider: String,
    /// Empty unless the job failed.
    pub error_code: String,
    /// Index into [`DURATION_BOUNDS`] of the first bound above the duration; 10 is beyond all of them,
    /// -1 is a job that never started.
    pub bucket: i16,
    pub jobs: i64,
    /// Sum of the durations; in `open` the age of the job that has been due longest.
    pub seconds: f64,
    /// Credits captured.
    pub credits: i64,
    /// In `open`: jobs whose lease ran out without their being settled.
    pub lapsed: i64,
}

/// Finished jobs grouped: those after `{since}` and not after `{until}`. Both bounds stand there for the
/// planner too, which takes a range for a small part of the table and then uses the index.
const FINISHED: &str = "
select type, provider, status, error_code, bucket, count(*) as jobs, sum(seconds) as seconds,
       sum(credits)::bigint as credits, is_recent, is_new
from (
    select j.type, j.provider, j.status, coalesce(j.error_code, '') as error_code,
           case when j.started_at is null then -1 else width_bucket(
               extract(epoch from j.completed_at - j.started_at)::float8,
               array[0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300]::float8[]) end::smallint as bucket,
           coalesce(extract(epoch from j.completed_at - j.started_at), 0)::float8 as seconds,
           coalesce((select captured_amount from credit_reservations r
                     where r.job_id = j.id and r.purpose = 'generation'), 0) as credits,
           j.completed_at > {recent} as is_recent,
           j.completed_at > (select counted_until from mark) as is_new
    from jobs j
    where j.completed_at > {since} and j.completed_at <= {until}
) finished
group by type, provider, status, error_code, bucket, is_recent, is_new";

/// Since when a job counts as recently finished.
const RECENT: &str = "(now() - make_interval(secs => $1))";

/// The statement of [`Entity::figures`]; `$1` is the window, seconds.
#[must_use]
pub fn figures_sql() -> String {
    let since = format!("least((select counted_until from mark), {RECENT})");
    let finished = FINISHED
        .replace("{recent}", RECENT)
        .replace("{since}", &since)
        .replace("{until}", "'infinity'");
    format!(
        "with mark as (select counted_until from job_totals_mark),
         finished as materialized ({finished})
         select 'open' as section, type::text as job_type, status::text as status, '' as provider,
                '' as error_code, (-1)::smallint as bucket, count(*) as jobs,
                coalesce(extract(epoch from now() - min(next_run_at) filter (where next_run_at <= now())), 0)::float8
                    as seconds,
                0::bigint as credits,
                count(*) filter (where lease_owner is not null and next_run_at <= now()) as lapsed
         from jobs where status in ('PENDING', 'PROCESSING') group by type, status
         union all
         select 'recent', type::text, status::text, provider, error_code, bucket, sum(jobs)::bigint, sum(seconds),
                sum(credits)::bigint, 0
         from finished where is_recent group by type, status, provider, error_code, bucket
         union all
         select 'total', type::text, status::text, provider, error_code, bucket, sum(jobs)::bigint, sum(seconds),
                sum(credits)::bigint, 0
         from (select type, status, provider, error_code, bucket, jobs, seconds, credits from job_totals
               union all
               select type, status, provider, error_code, bucket, jobs, seconds, credits
               from finished where is_new) counted
         group by type, status, provider, error_code, bucket
         order by section, job_type, status, provider, error_code, bucket"
    )
}

impl Entity {
    /// The figures of this moment, in one statement. `window_s` is how far back recent goes, seconds.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn figures(db: &impl ConnectionTrait, window_s: i32) -> Result<Vec<Figure>, DbErr> {
        Figure::find_by_statement(statement(&figures_sql(), [f64::from(window_s).into()]))
            .all(db)
            .await
    }

    /// Adds what finished since the mark to the totals, about `batch` jobs at most, and moves the mark;
    /// gives how many jobs.
    ///
    /// The mark stops before the oldest transaction that is open: a job that finishes in it bears a
    /// time after its start but is not visible yet. It is asked for in a statement of its own, so that
    /// the snapshot of the second sees everything that was committed by then. An ordinary role sees the
    /// times of its own sessions only; nobody else settles jobs.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn roll_up(db: &impl ConnectionTrait, batch: i64) -> Result<i64, DbErr> {
        let horizon = Horizon::find_by_statement(statement(
            "select (least(now(), min(xact_start)) - interval '1 second')::text as until
             from pg_stat_activity
             where datname = current_database() and pid <> pg_backend_pid() and xact_start is not null",
            [],
        ))
        .one(db)
        .await?
        .map(|row| row.until)
        .unwrap_or_default();
        let finished = FINISHED
            .replace("{recent}", "'infinity'")
            .replace("{since}", "(select counted_until from mark)")
            .replace("{until}", "(select until from bound)");
        let sql = format!(
            "with mark as (select counted_until from job_totals_mark for update),
             bound as (select least($1::timestamptz, (
                select completed_at from jobs where completed_at > (select counted_until from mark)
                order by completed_at offset $2 limit 1)) as until),
             finished as ({finished}),
             added as (
                insert into job_totals as t (type, provider, status, error_code, bucket, jobs, seconds, credits)
                select type, provider, status, error_code, bucket, jobs, seconds, credits from finished
                on conflict (type, provider, status, error_code, bucket) do update set
                    jobs = t.jobs + excluded.jobs, seconds = t.seconds + excluded.seconds,
                    credits = t.credits + excluded.credits
             ), moved as (
                update job_totals_mark set counted_until = greatest(counted_until, (select until from bound))
             )
             select coalesce(sum(jobs), 0)::bigint as jobs from finished"
        );
        let row = Rolled::find_by_statement(statement(&sql, [horizon.into(), batch.into()]))
            .one(db)
            .await?;
        Ok(row.map_or(0, |row| row.jobs))
    }
}

#[derive(Debug, FromQueryResult)]
struct Horizon {
    until: String,
}

#[derive(Debug, FromQueryResult)]
struct Rolled {
    jobs: i64,
}

/// The figures of one job type.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TypeFigures {
    /// Waiting for a worker, a pause or a free slot.
    pub pending: i64,
    /// Running, or waiting for upstream.
    pub processing: i64,
    /// Ever since.
    pub completed: i64,
    pub failed: i64,
    pub cancelled: i64,
    /// Seconds that the job has been due that has been due longest.
    pub oldest_due_s: f64,
    /// Jobs whose lease ran out without their being settled.
    pub lapsed: i64,
    /// Completed and failed within the window, and how long those that started took.
    pub recently_finished: i64,
    pub recently_failed: i64,
    pub recent_started: i64,
    pub recent_seconds: f64,
}

impl TypeFigures {
    /// Adds lines of the figures up; lines of any job types.
    #[must_use]
    pub fn sum<'a>(lines: impl IntoIterator<Item = &'a Figure>) -> Self {
        let mut sum = Self::default();
        for line in lines {
            sum.add(line);
        }
        sum
    }

    fn add(&mut self, line: &Figure) {
        match (line.section.as_str(), line.status.as_str()) {
            ("open", status) => {
                if status == "PENDING" {
                    self.pending = self.pending.saturating_add(line.jobs);
                } else {
                    self.processing = self.processing.saturating_add(line.jobs);
                }
                self.oldest_due_s = self.oldest_due_s.max(line.seconds);
                self.lapsed = self.lapsed.saturating_add(line.lapsed);
            }
            ("total", "COMPLETED") => self.completed = self.completed.saturating_add(line.jobs),
            ("total", "FAILED") => self.failed = self.failed.saturating_add(line.jobs),
            ("total", _) => self.cancelled = self.cancelled.saturating_add(line.jobs),
            // What its owner cancelled says nothing about how the work goes.
            ("recent", "CANCELLED") => {}
            ("recent", status) => {
                self.recently_finished = self.recently_finished.saturating_add(line.jobs);
                if status == "FAILED" {
                    self.recently_failed = self.recently_failed.saturating_add(line.jobs);
                }
                if line.bucket >= 0 {
                    self.recent_started = self.recent_started.saturating_add(line.jobs);
                    self.recent_seconds += line.seconds;
                }
            }
            _ => {}
        }
    }

    /// Share of the recently finished jobs that failed, 0 to 1.
    #[must_use]
    pub fn error_rate(&self) -> f64 {
        ratio(self.recently_failed, self.recently_finished)
    }

    /// Seconds that a recently finished job took on average.
    #[must_use]
    pub fn average_seconds(&self) -> f64 {
        if self.recent_started > 0 {
            self.recent_seconds / as_float(self.recent_started)
        } else {
            0.0
        }
    }

    /// Jobs finished per minute over a window of `window_s` seconds.
    #[must_use]
    pub fn per_minute(&self, window_s: i32) -> f64 {
        as_float(self.recently_finished) * 60.0 / f64::from(window_s)
    }
}

fn ratio(part: i64, whole: i64) -> f64 {
    if whole > 0 {
        as_float(part) / as_float(whole)
    } else {
        0.0
    }
}

/// Counts are far below the 2^53 up to which this is exact.
#[allow(clippy::cast_precision_loss)]
#[must_use]
pub const fn as_float(count: i64) -> f64 {
    count as f64
}
