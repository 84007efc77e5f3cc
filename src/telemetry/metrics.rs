//! Figures of this process: requests, calls to providers, the process itself. Figures about jobs are
//! not here: workers are processes of their own, so those are read from the database.
//!
//! Every label value comes from a list of ours (a route template, a status class, a provider's name),
//! so strangers cannot make the list of series grow.

use std::{sync::LazyLock, time::Duration};

use prometheus::{
    HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, proto::MetricFamily,
};

/// Route label of requests that no route took.
pub const UNMATCHED: &str = "unmatched";

/// Upper bounds of request durations, seconds.
const REQUEST_BOUNDS: [f64; 11] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0,
];
/// Upper bounds of provider calls, seconds.
const CALL_BOUNDS: [f64; 9] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];

struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    request_seconds: HistogramVec,
    calls: IntCounterVec,
    call_seconds: HistogramVec,
}

static METRICS: LazyLock<Option<Metrics>> = LazyLock::new(|| match Metrics::new() {
    Ok(metrics) => Some(metrics),
    Err(error) => {
        tracing::error!(%error, "the metrics could not be set up");
        None
    }
});

impl Metrics {
    fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let requests = IntCounterVec::new(
            Opts::new(
                "http_requests_total",
                "Requests answered by this process, by route template and status class.",
            ),
            &["method", "route", "status"],
        )?;
        let request_seconds = HistogramVec::new(
            HistogramOpts::new(
                "http_request_duration_seconds",
                "Time until the head of the answer was ready.",
            )
            .buckets(REQUEST_BOUNDS.to_vec()),
            &["method", "route"],
        )?;
        let calls = IntCounterVec::new(
            Opts::new(
                "provider_calls_total",
                "Calls of this process to providers, by step and outcome.",
            ),
            &["provider", "call", "outcome"],
        )?;
        let call_seconds = HistogramVec::new(
            HistogramOpts::new(
                "provider_call_duration_seconds",
                "Duration of calls of this process to providers.",
            )
            .buckets(CALL_BOUNDS.to_vec()),
            &["provider", "call"],
        )?;
        let build = IntGaugeVec::new(
            Opts::new("build_info", "Version and commit of this process."),
            &["version", "commit"],
        )?;
        build
            .get_metric_with_label_values(&[env!("CARGO_PKG_VERSION"), commit()])?
            .set(1);
        registry.register(Box::new(build))?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(request_seconds.clone()))?;
        registry.register(Box::new(calls.clone()))?;
        registry.register(Box::new(call_seconds.clone()))?;
        #[cfg(target_os = "linux")]
        registry.register(Box::new(
            prometheus::process_collector::ProcessCollector::for_self(),
        ))?;
        Ok(Self {
            registry,
            requests,
            request_seconds,
            calls,
            call_seconds,
        })
    }
}

/// The commit that this was built from, when the build named one.
#[must_use]
pub fn commit() -> &'static str {
    option_env!("BUILD_SHA")
        .or(option_env!("GITHUB_SHA"))
        .unwrap_or("dev")
}

/// Counts an answered request. `route` is the template that matched, [`UNMATCHED`] for none.
pub fn request(method: &str, route: &str, status: u16, took: Duration) {
    let Some(metrics) = &*METRICS else { return };
    let method = known_method(method);
    let class = match status / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    };
    if let Ok(counter) = metrics
        .requests
        .get_metric_with_label_values(&[method, route, class])
    {
        counter.inc();
    }
    if let Ok(histogram) = metrics
        .request_seconds
        .get_metric_with_label_values(&[method, route])
    {
        histogram.observe(took.as_secs_f64());
    }
}

/// A method may be any word; only those that routes have are labels.
fn known_method(method: &str) -> &'static str {
    ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]
        .into_iter()
        .find(|known| *known == method)
        .unwrap_or("other")
}

/// Counts a call to a provider: `call` is `submit`, `poll` or `fetch`, `outcome` is `ok` or the class of
/// the fault.
pub fn provider_call(provider: &str, call: &'static str, outcome: &'static str, took: Duration) {
    let Some(metrics) = &*METRICS else { return };
    if let Ok(counter) = metrics
        .calls
        .get_metric_with_label_values(&[provider, call, outcome])
    {
        counter.inc();
    }
    if let Ok(histogram) = metrics
        .call_seconds
        .get_metric_with_label_values(&[provider, call])
    {
        histogram.observe(took.as_secs_f64());
    }
}

/// Everything of this process, by name.
#[must_use]
pub fn gather() -> Vec<MetricFamily> {
    METRICS
        .as_ref()
        .map(|metrics| metrics.registry.gather())
        .unwrap_or_default()
}
