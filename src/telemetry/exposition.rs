//! Metric families made from figures that were counted elsewhere, and their text (exposition format
//! 0.0.4).

use prometheus::{
    TextEncoder,
    proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType},
};

/// Content type of the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Labels of one series: name and value.
pub type Labels<'a> = Vec<(&'static str, &'a str)>;

/// A histogram that was counted elsewhere.
#[derive(Debug, Clone, Default)]
pub struct Counted {
    /// Observations in each bucket, not added up; the last one is beyond all bounds.
    pub buckets: Vec<u64>,
    /// Sum of the observations.
    pub sum: f64,
}

/// A counter with one value for each set of labels.
#[must_use]
pub fn counter(name: &str, help: &str, series: Vec<(Labels<'_>, f64)>) -> MetricFamily {
    let metrics = series.into_iter().map(|(labels, value)| {
        let mut counter = Counter::default();
        counter.set_value(value);
        let mut metric = Metric::from_label(pairs(labels));
        metric.set_counter(counter);
        metric
    });
    family(name, help, MetricType::COUNTER, metrics.collect())
}

/// A gauge with one value for each set of labels.
#[must_use]
pub fn gauge(name: &str, help: &str, series: Vec<(Labels<'_>, f64)>) -> MetricFamily {
    let metrics = series.into_iter().map(|(labels, value)| {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        let mut metric = Metric::from_label(pairs(labels));
        metric.set_gauge(gauge);
        metric
    });
    family(name, help, MetricType::GAUGE, metrics.collect())
}

/// A histogram over `bounds` for each set of labels.
#[must_use]
pub fn histogram(
    name: &str,
    help: &str,
    bounds: &[f64],
    series: Vec<(Labels<'_>, Counted)>,
) -> MetricFamily {
    let metrics = series.into_iter().map(|(labels, counted)| {
        let mut below = 0_u64;
        let buckets = bounds
            .iter()
            .zip(&counted.buckets)
            .map(|(bound, count)| {
                below = below.saturating_add(*count);
                let mut bucket = Bucket::default();
                bucket.set_upper_bound(*bound);
                bucket.set_cumulative_count(below);
                bucket
            })
            .collect();
        let mut histogram = Histogram::default();
        histogram.set_bucket(buckets);
        histogram.set_sample_count(counted.buckets.iter().sum());
        histogram.set_sample_sum(counted.sum);
        let mut metric = Metric::from_label(pairs(labels));
        metric.set_histogram(histogram);
        metric
    });
    family(name, help, MetricType::HISTOGRAM, metrics.collect())
}

fn family(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

fn pairs(labels: Labels<'_>) -> Vec<LabelPair> {
    labels
        .into_iter()
        .map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name(name.to_owned());
            pair.set_value(value.to_owned());
            pair
        })
        .collect()
}

/// The text of the families that have series, in the order of their names.
///
/// # Errors
/// When a family has no name.
pub fn text(mut families: Vec<MetricFamily>) -> prometheus::Result<String> {
    families.retain(|family| !family.get_metric().is_empty());
    families.sort_by(|a, b| a.name().cmp(b.name()));
    TextEncoder::new().encode_to_string(&families)
}
