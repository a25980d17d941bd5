//! Waiting for the spool where waiting is asynchronous.

use crate::spool::Spool;

/// Waits until everything appended is durable; false: it will not be.
pub async fn durable(spool: &Spool) -> bool {
    let (done, told) = tokio::sync::oneshot::channel();
    spool.barrier(Box::new(move |result| {
        let _ = done.send(result.is_ok());
    }));
    told.await.unwrap_or(false)
}
