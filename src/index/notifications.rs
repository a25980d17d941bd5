//! Wakes nodes when something shared changes: PostgreSQL's notifications. Where there are none, behind a pooler for example,
//! nobody is woken, and nodes look by themselves.

use std::time::Duration;

use sqlx::postgres::PgListener;
use sqlx::{Any, Transaction};
use tokio::sync::Notify;

use super::database::Database;
use super::listening::Listening;
use super::{Index, IndexError};

/// What is said to all nodes once holds or orders change.
const DECISIONS: &str = "optag_decisions";
/// Time until a lost connection to listen on is made again; nodes look by themselves meanwhile.
const LISTEN_AGAIN: Duration = Duration::from_secs(5);

impl Database {
    /// Says to all nodes, once the transaction is committed, that holds or orders changed.
    pub(super) async fn notify(&self, transaction: &mut Transaction<'static, Any>) -> Result<(), IndexError> {
        self.say(transaction, DECISIONS).await
    }

    /// Says something on a channel once the transaction is committed.
    pub(super) async fn say(
        &self,
        transaction: &mut Transaction<'static, Any>,
        channel: &str,
    ) -> Result<(), IndexError> {
        if self.has_clock() {
            sqlx::query("SELECT pg_notify($1, '')").bind(channel).execute(&mut **transaction).await?;
        }
        Ok(())
    }

    /// Wakes `woken` at each notification on a channel, for as long as it is polled. A connection of its own.
    pub(super) async fn follow(&self, channel: &str, woken: &Notify) {
        loop {
            let Some(server) = self.postgres_in_use() else { return std::future::pending().await };
            match Listening::begin(server, channel).await {
                Ok(mut listening) => {
                    wake_until_lost(&mut listening.listener, woken).await;
                    listening.end().await;
                }
                Err(error) => tracing::debug!(%error, channel, "cannot listen for notifications"),
            }
            tokio::time::sleep(LISTEN_AGAIN).await;
        }
    }
}

impl Index {
    /// Wakes `woken` whenever a node changes holds or orders, for as long as it is polled.
    pub async fn follow_decisions(&self, woken: &Notify) {
        self.database.follow(DECISIONS, woken).await;
    }
}

async fn wake_until_lost(listener: &mut PgListener, woken: &Notify) {
    // What came before somebody listened.
    woken.notify_one();
    while let Ok(Some(_)) = listener.try_recv().await {
        woken.notify_one();
    }
}
