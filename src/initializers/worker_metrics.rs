//! The metrics of a worker process, which has no other listener: `/metrics` and nothing else.

use std::{net::SocketAddr, time::Duration};

use axum::{Router, routing::get};
use loco_rs::{Error, Result, app::AppContext};
use tokio_util::sync::CancellationToken;

use crate::{
    controllers::operations,
    http::server::{self, Limits},
    settings::Settings,
};

/// A scraper is near and quick, and nothing is lost when it is cut.
const LIMITS: Limits = Limits {
    header_timeout: Duration::from_secs(5),
    write_timeout: Duration::from_secs(5),
    shutdown: Duration::from_millis(100),
};

/// Listens where `http.worker_metrics_binding` says, if it says so, until `stop`. A port that cannot be
/// had is a warning: jobs matter more, and several workers of one machine may share a configuration.
///
/// # Errors
/// When the setting is no address.
pub fn start(ctx: &AppContext, stop: CancellationToken) -> Result<()> {
    let settings = Settings::of(ctx)?;
    let Some(binding) = &settings.http.worker_metrics_binding else {
        return Ok(());
    };
    let address: SocketAddr = binding
        .parse()
        .map_err(|_| Error::string("WORKER_METRICS_BINDING is no address and port"))?;
    let app = Router::new()
        .route("/metrics", get(operations::scrape_process))
        .with_state(ctx.clone());
    tokio::spawn(async move {
        match server::bind(&address.ip().to_string(), address.port()).await {
            Ok(listener) => {
                tracing::info!(%address, "the worker's metrics can be read");
                server::serve(listener, app, LIMITS, stop.cancelled_owned()).await;
            }
            Err(error) => tracing::warn!(%error, "the worker's metrics cannot be read"),
        }
    });
    Ok(())
}
