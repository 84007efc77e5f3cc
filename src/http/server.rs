//! The listener: one clear line when the port is taken, limits on slow heads and on clients that do not
//! read, a bounded drain.

use std::{convert::Infallible, io, net::SocketAddr, pin::pin, time::Duration};

use axum::{Router, body::Body, http::Request};
use hyper::server::conn::http1::Builder;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_io_timeout::TimeoutWriter;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::{Service, ServiceExt};

/// How the listener treats slow clients and its own end.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Time a client may take to send its request head.
    pub header_timeout: Duration,
    /// Time a client may read nothing of what it is sent; then its connection is cut, streams and
    /// sockets included. The kernel itself waits for ever for a client that is alive.
    pub write_timeout: Duration,
    /// Time open requests get after the stop signal.
    pub shutdown: Duration,
}

/// Binds the listener.
///
/// # Errors
/// A sentence that names the port and the way out when it cannot be had.
pub async fn bind(binding: &str, port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((binding, port)).await.map_err(|error| {
        let text = match error.kind() {
            io::ErrorKind::AddrInUse => format!(
                "port {port} is already in use; stop the program that holds it or choose another with PORT=<number>"
            ),
            io::ErrorKind::PermissionDenied => {
                format!("not allowed to listen on port {port}; choose another with PORT=<number>")
            }
            _ => format!("cannot listen on {binding}:{port}: {error}"),
        };
        io::Error::new(error.kind(), text)
    })
}

/// Serves `app` until `stop` resolves, then lets open requests finish within the limit.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    limits: Limits,
    stop: impl Future<Output = ()>,
) {
    let open = Open::default();
    let mut make = app.into_make_service_with_connect_info::<SocketAddr>();
    let mut stop = pin!(stop);
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(connection) => connection,
                Err(error) => {
                    // Out of descriptors, most likely: waiting lets some be returned.
                    tracing::warn!(%error, "could not accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            () = &mut stop => break,
        };
        stream.set_nodelay(true).ok();
        let Ok(service) = make.call(peer).await;
        spawn(stream, service, limits, &open);
    }
    drop(listener);
    open.closing.cancel();
    open.connections.close();
    if tokio::time::timeout(limits.shutdown, open.connections.wait())
        .await
        .is_err()
    {
        tracing::warn!("open requests did not finish in time and were cut");
    }
}

/// The open connections. A connection that became a WebSocket is none of them any more.
#[derive(Default)]
struct Open {
    connections: TaskTracker,
    closing: CancellationToken,
}

fn spawn<S>(stream: TcpStream, service: S, limits: Limits, open: &Open)
where
    S: Service<Request<Body>, Response = axum::response::Response, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    // HTTP/1 only: telling the protocols apart waits for first bytes without a limit, and HTTP/2
    // without TLS has no client here.
    let mut builder = Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout);
    let service = TowerToHyperService::new(
        service.map_request(|request: Request<hyper::body::Incoming>| request.map(Body::new)),
    );
    let closing = open.closing.clone();
    let mut stream = TimeoutWriter::new(stream);
    stream.set_timeout(Some(limits.write_timeout));
    open.connections.spawn(async move {
        let connection = builder.serve_connection(TokioIo::new(Box::pin(stream)), service);
        let mut connection = pin!(connection.with_upgrades());
        // A client that breaks off is its own affair.
        tokio::select! {
            _ = connection.as_mut() => return,
            () = closing.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        connection.await.ok();
    });
}
