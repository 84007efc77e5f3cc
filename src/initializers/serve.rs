//! The HTTP listener of the server modes.

use std::time::Duration;

use axum::Router;
use loco_rs::{
    Error, Result,
    app::AppContext,
    boot::{ServeParams, shutdown_signal},
};

use super::components::local_url;
use crate::{
    auth::local::LocalAccounts,
    http::server::{self, Limits},
    queue::handlers::Handlers,
    settings::Settings,
    storage::Storage,
};

/// Listens until a stop signal; `on_stop` runs at the signal, so that workers drain at the same time.
///
/// # Errors
/// When the port cannot be had.
pub async fn run<F: Future<Output = ()>>(
    app: Router,
    ctx: &AppContext,
    params: &ServeParams,
    on_stop: impl FnOnce() -> F,
) -> Result<()> {
    let settings = Settings::of(ctx)?;
    let port = u16::try_from(params.port)
        .map_err(|_| Error::string(&format!("{} is not a port number", params.port)))?;
    let listener = server::bind(&params.binding, port).await?;
    let port = listener.local_addr()?.port();
    // `--port` may differ from the settings that addresses were built from.
    if settings.http.public_url.is_none() {
        LocalAccounts::of(ctx)?.set_public_base(&local_url(port));
        if settings.storage.public_url.is_none() {
            Storage::of(ctx)?.set_public_base(&format!("{}/files", local_url(port)));
        }
    }
    tracing::info!(port, "listening on {}", local_url(port));
    let limits = Limits {
        header_timeout: Duration::from_millis(settings.http.header_timeout_ms),
        write_timeout: Duration::from_millis(settings.http.write_timeout_ms),
        shutdown: Duration::from_millis(settings.http.shutdown_ms),
    };
    let stop = async {
        shutdown_signal().await;
        tracing::info!("stopping");
        on_stop().await;
    };
    server::serve(listener, app, limits, stop).await;
    // Steps of pushed deliveries go on when their connection is gone.
    let drain = Duration::from_millis(settings.jobs.shutdown_ms);
    if !Handlers::of(ctx)?.idle(drain).await {
        tracing::warn!("running steps did not finish in time; others take them over");
    }
    Ok(())
}
