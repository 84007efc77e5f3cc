//! Figures about jobs as metric families (platform contract 10.3). No label holds a user.

use std::collections::BTreeMap;

use prometheus::proto::MetricFamily;

use super::queues::{Shown, WorkerView};
use crate::{
    models::job_totals::{DURATION_BOUNDS, Figure, TypeFigures, as_float},
    telemetry::exposition::{Counted, Labels, counter, gauge, histogram},
};

/// The families of the job figures.
#[must_use]
pub fn job_families(
    lines: &[Figure],
    shown: &[Shown],
    workers: &[WorkerView],
) -> Vec<MetricFamily> {
    let total: Vec<&Figure> = lines
        .iter()
        .filter(|line| line.section == "total")
        .collect();
    let mut families = vec![
        jobs_total(&total),
        job_errors(&total),
        job_durations(&total),
        credits_used(&total),
    ];
    families.extend(queue_gauges(lines, shown, workers));
    families
}

/// Sums of `value` over the lines that have the same labels.
fn sums<'a>(
    lines: &[&'a Figure],
    labels: impl Fn(&'a Figure) -> Labels<'a>,
    value: impl Fn(&Figure) -> i64,
) -> Vec<(Labels<'a>, f64)> {
    let mut sums: BTreeMap<Labels<'a>, i64> = BTreeMap::new();
    for line in lines {
        let sum = sums.entry(labels(line)).or_default();
        *sum = sum.saturating_add(value(line));
    }
    sums.into_iter()
        .map(|(labels, sum)| (labels, as_float(sum)))
        .collect()
}

fn by_outcome(line: &Figure) -> Labels<'_> {
    vec![
        ("type", line.job_type.as_str()),
        ("status", line.status.as_str()),
        ("provider", line.provider.as_str()),
    ]
}

fn jobs_total(total: &[&Figure]) -> MetricFamily {
    let series = sums(total, by_outcome, |line| line.jobs);
    counter("jobs_total", "Finished jobs, by their final state.", series)
}

fn job_errors(total: &[&Figure]) -> MetricFamily {
    let failed: Vec<&Figure> = total
        .iter()
        .copied()
        .filter(|line| line.status == "FAILED")
        .collect();
    let series = sums(
        &failed,
        |line| {
            vec![
                ("type", line.job_type.as_str()),
                ("error_type", line.error_code.as_str()),
                ("provider", line.provider.as_str()),
            ]
        },
        |line| line.jobs,
    );
    counter("job_errors_total", "Failed jobs, by error code.", series)
}

fn credits_used(total: &[&Figure]) -> MetricFamily {
    let series = sums(
        total,
        |line| {
            vec![
                ("job_type", line.job_type.as_str()),
                ("provider", line.provider.as_str()),
            ]
        },
        |line| line.credits,
    );
    counter(
        "credits_used_total",
        "Credits charged for finished jobs.",
        series,
    )
}

fn job_durations(total: &[&Figure]) -> MetricFamily {
    let mut series: BTreeMap<Labels<'_>, Counted> = BTreeMap::new();
    for line in total {
        // A job that never started has no duration.
        let Ok(bucket) = usize::try_from(line.bucket) else {
            continue;
        };
        let counted = series.entry(by_outcome(line)).or_insert_with(|| Counted {
            buckets: vec![0; DURATION_BOUNDS.len().saturating_add(1)],
            sum: 0.0,
        });
        if let Some(count) = counted.buckets.get_mut(bucket) {
            *count = count.saturating_add(u64::try_from(line.jobs).unwrap_or_default());
            counted.sum += line.seconds;
        }
    }
    histogram(
        "job_duration_seconds",
        "From a job's first claim to its final state.",
        &DURATION_BOUNDS,
        series.into_iter().collect(),
    )
}

fn queue_gauges(lines: &[Figure], shown: &[Shown], workers: &[WorkerView]) -> Vec<MetricFamily> {
    let open: Vec<(Shown, TypeFigures)> = shown
        .iter()
        .map(|shown| {
            let own = lines.iter().filter(|line| line.job_type == shown.job_type);
            (*shown, TypeFigures::sum(own))
        })
        .collect();
    let by_queue = |value: fn(&TypeFigures) -> f64| -> Vec<(Labels<'_>, f64)> {
        open.iter()
            .map(|(shown, figures)| (vec![("queue_name", shown.queue)], value(figures)))
            .collect()
    };
    let active = open
        .iter()
        .map(|(shown, figures)| (vec![("type", shown.job_type)], as_float(figures.processing)))
        .collect();
    let mut alive: BTreeMap<&str, i64> = BTreeMap::new();
    for worker in workers {
        let count = alive.entry(worker.queue.as_str()).or_default();
        *count = count.saturating_add(i64::from(worker.is_alive));
    }
    let alive = alive
        .into_iter()
        .map(|(queue, count)| (vec![("queue_name", queue)], as_float(count)))
        .collect();
    vec![
        gauge(
            "queue_depth",
            "Jobs that wait for a worker, a pause or a free slot.",
            by_queue(|figures| as_float(figures.pending)),
        ),
        gauge(
            "queue_oldest_due_seconds",
            "How long the job has been due that has been due longest.",
            by_queue(|figures| figures.oldest_due_s),
        ),
        gauge(
            "queue_lapsed_leases",
            "Jobs whose worker stopped sending heartbeats.",
            by_queue(|figures| as_float(figures.lapsed)),
        ),
        gauge(
            "active_jobs",
            "Jobs that run or wait for their provider.",
            active,
        ),
        gauge("queue_workers", "Live workers of all processes.", alive),
    ]
}

/// This process' database pool.
#[must_use]
pub fn pool_families(in_use: u32, idle: u32, most: u32) -> Vec<MetricFamily> {
    vec![
        gauge(
            "db_pool_connections",
            "Connections of this process to the database.",
            vec![
                (vec![("state", "in_use")], f64::from(in_use)),
                (vec![("state", "idle")], f64::from(idle)),
            ],
        ),
        gauge(
            "db_pool_max_connections",
            "Most connections that this process opens.",
            vec![(Vec::new(), f64::from(most))],
        ),
    ]
}

/// Whether the job figures could be read.
#[must_use]
pub fn figures_up(is_up: bool) -> MetricFamily {
    gauge(
        "job_figures_up",
        "Whether the figures about jobs could be read from the database.",
        vec![(Vec::new(), f64::from(u8::from(is_up)))],
    )
}
