//! A connection that listens for notifications of PostgreSQL. In: a channel. Out: a listener, whose connection is closed
//! in the end.

use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a server may take to let a connection go.
const CLOSE: Duration = Duration::from_secs(2);

/// A connection that listens.
pub(super) struct Listening {
    pub(super) listener: PgListener,
    pool: PgPool,
}

impl Listening {
    /// Listens on a channel, on a connection of its own.
    ///
    /// Errors: the server cannot be reached, or is a standby.
    pub(super) async fn begin(options: PgConnectOptions, channel: &str) -> Result<Self, sqlx::Error> {
        let pool =
            PgPoolOptions::new().max_connections(1).acquire_timeout(CONNECT).connect_lazy_with(options);
        let listening = async {
            let mut listener = PgListener::connect_with(&pool).await?;
            // The caller reconnects, possibly to another server.
            listener.eager_reconnect(false);
            listener.listen(channel).await?;
            Ok(listener)
        };
        match listening.await {
            Ok(listener) => Ok(Self { listener, pool }),
            Err(error) => {
                close(&pool).await;
                Err(error)
            }
        }
    }

    /// Ends it. A listener that is only dropped leaves its connection open for as long as pools keep idle ones, and every
    /// new one would be one more.
    pub(super) async fn end(self) {
        drop(self.listener);
        close(&self.pool).await;
    }
}

/// Closes the connections of a pool, unless the server does not answer.
async fn close(pool: &PgPool) {
    let _ = tokio::time::timeout(CLOSE, pool.close()).await;
}
