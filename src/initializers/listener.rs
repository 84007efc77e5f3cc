//! One listener connection per process, outside the pool: it hears every notification and tells the
//! part that it is for.

use std::{sync::Arc, time::Duration};

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio_util::sync::CancellationToken;

/// Pause before a lost connection is opened again.
const RECONNECT: Duration = Duration::from_millis(500);

/// A part of the process that wants the notifications of one channel.
#[derive(Clone)]
pub struct Ear {
    pub channel: &'static str,
    /// Takes one notification; must not block.
    pub hear: Arc<dyn Fn(&str) + Send + Sync>,
    /// Looks at everything again: what was sent while nobody listened is gone.
    pub look_again: Arc<dyn Fn() + Send + Sync>,
}

/// Listens until `stop`; a lost connection is opened again.
pub async fn run(options: PgConnectOptions, ears: Vec<Ear>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        if let Err(error) = listen(&options, &ears, &stop).await {
            tracing::warn!(%error, "the listener lost its connection and reconnects");
            tokio::select! {
                () = tokio::time::sleep(RECONNECT) => {}
                () = stop.cancelled() => return,
            }
        }
    }
}

async fn listen(
    options: &PgConnectOptions,
    ears: &[Ear],
    stop: &CancellationToken,
) -> Result<(), sqlx::Error> {
    // A listener takes its connection from a pool; this one holds nothing else.
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect_with(options.clone())
        .await?;
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.eager_reconnect(false);
    listener
        .listen_all(ears.iter().map(|ear| ear.channel))
        .await?;
    for ear in ears {
        (ear.look_again)();
    }
    loop {
        let notification = tokio::select! {
            notification = listener.try_recv() => notification?,
            () = stop.cancelled() => return Ok(()),
        };
        let Some(notification) = notification else {
            return Err(sqlx::Error::PoolClosed);
        };
        let heard = ears
            .iter()
            .filter(|ear| ear.channel == notification.channel());
        for ear in heard {
            (ear.hear)(notification.payload());
        }
    }
}
