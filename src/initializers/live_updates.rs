//! Live updates of a process: its listener, its hub, and the Socket.IO service in front of the routes.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::any,
};
use loco_rs::{
    Error, Result,
    app::{AppContext, Initializer},
};
use socketioxide::SocketIo;
use tower::Layer;

use super::listener::{self, Ear};
use crate::{
    auth::{identity, tokens::TokenKeys},
    http::ApiError,
    queue::{
        handlers::Handlers,
        wake::{self, Bells},
    },
    realtime::{
        self, Hub,
        sockets::{self, Gate},
    },
    settings::Settings,
};

/// How long sockets may take to say good-bye.
const GOOD_BYE: Duration = Duration::from_millis(500);

/// Starts what every serving or working process has once.
pub struct LiveUpdates;

#[async_trait]
impl Initializer for LiveUpdates {
    fn name(&self) -> String {
        "live updates".to_owned()
    }

    async fn before_run(&self, ctx: &AppContext) -> Result<()> {
        let hub = Hub::of(ctx)?;
        let bells = ctx
            .shared_store
            .get::<Bells>()
            .ok_or_else(|| Error::string("the bells are missing from the context"))?;
        let stop = Handlers::of(ctx)?.stop_token();
        let ears = vec![
            Ear {
                channel: wake::CHANNEL,
                hear: Arc::new({
                    let bells = bells.clone();
                    move |note| bells.hear(note)
                }),
                look_again: Arc::new(move || bells.ring_all()),
            },
            Ear {
                channel: realtime::CHANNEL,
                hear: Arc::new({
                    let hub = Arc::clone(&hub);
                    move |note| hub.hear(note)
                }),
                look_again: Arc::new({
                    let hub = Arc::clone(&hub);
                    move || hub.wake_all()
                }),
            },
        ];
        let options = ctx.db.get_postgres_connection_pool().connect_options();
        tokio::spawn(listener::run((*options).clone(), ears, stop));
        tokio::spawn(hub.run());
        Ok(())
    }
}

/// The routes of Socket.IO.
///
/// # Errors
/// When the context was not made by this application's hooks.
pub fn routes(ctx: &AppContext) -> Result<Router<AppContext>> {
    let settings = Settings::of(ctx)?;
    let hub = Hub::of(ctx)?;
    let gate = Gate {
        db: ctx.db.clone(),
        keys: TokenKeys::of(ctx)?,
        identity: identity::of(ctx)?,
        welcome: settings.credits.welcome,
        recheck: Duration::from_millis(settings.realtime.recheck_ms),
        hub: Arc::clone(&hub),
    };
    let (layer, io) = sockets::build(gate, &settings.realtime);
    ctx.shared_store.insert(io);
    // The layer answers everything below its path; nothing comes through to the inner service.
    let service = layer.layer(any(|| async { ApiError::not_found("No such socket") }));
    Ok(Router::new()
        .route_service(sockets::PATH, service.clone())
        .route_service(&format!("{}/", sockets::PATH), service)
        .layer(from_fn_with_state(hub, take_seat)))
}

/// A new connection takes one of the process' seats. The request is kept as long as its connection, and
/// the seat with it.
async fn take_seat(State(hub): State<Arc<Hub>>, mut request: Request, next: Next) -> Response {
    let query = request.uri().query().unwrap_or_default();
    if !query.split('&').any(|pair| pair.starts_with("sid=")) {
        match hub.seats.connection() {
            Ok(seat) => {
                request.extensions_mut().insert(Arc::new(seat));
            }
            Err(error) => return ApiError::from(error).into_response(),
        }
    }
    next.run(request).await
}

/// Ends streams, waits and sockets, so that the process can end.
pub async fn stop(ctx: &AppContext) {
    if let Ok(hub) = Hub::of(ctx) {
        hub.stop();
    }
    if let Some(io) = ctx.shared_store.get::<SocketIo>() {
        tokio::time::timeout(GOOD_BYE, io.close()).await.ok();
    }
}
