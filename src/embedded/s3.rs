//! An S3 over a folder of the home, on loopback, so that presigned addresses are the real protocol.
//!
//! Each process serves its own endpoint over the same folder and key, so none depends on another.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
};

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};
use s3s_fs::FileSystem;
use tokio::net::TcpListener;

/// Access key id of the embedded S3; the secret is generated.
pub const ACCESS_KEY_ID: &str = "daygen";

/// Serves the folder `root` on a free loopback port until the process ends.
///
/// # Errors
/// When the folder cannot be made or no port can be had.
pub async fn serve(root: &Path, bucket: &str, secret: &str) -> io::Result<SocketAddr> {
    std::fs::create_dir_all(root.join(bucket))?;
    let files = FileSystem::new(root).map_err(|error| io::Error::other(format!("{error:?}")))?;
    let mut builder = S3ServiceBuilder::new(files);
    builder.set_auth(SimpleAuth::from_single(ACCESS_KEY_ID, secret));
    let service = builder.build();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                // Out of descriptors, most likely: waiting lets some be returned.
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                continue;
            };
            let service = service.clone();
            tokio::spawn(async move {
                let builder = Builder::new(TokioExecutor::new());
                let connection = builder.serve_connection(TokioIo::new(stream), service);
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection to the embedded S3 broke");
                }
            });
        }
    });
    Ok(address)
}
