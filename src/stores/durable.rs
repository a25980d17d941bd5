//! Waiting for the spool where waiting is asynchronous.

use optag_core::id::CallId;
use optag_storage::spool::{Spool, SpoolError};

/// Waits until everything appended is durable; false: it will not be.
pub async fn durable(spool: &Spool) -> bool {
    let (done, durable) = tokio::sync::oneshot::channel();
    spool.barrier(Box::new(move |result| {
        let _ = done.send(result.is_ok());
    }));
    durable.await.unwrap_or(false)
}

/// Destroys a call's key; once this answers, nothing of the call can be read from the spool.
///
/// Errors: the key may still be there.
pub async fn destroy_key(spool: &Spool, call: CallId) -> Result<(), SpoolError> {
    let spool = spool.clone();
    // A task that did not run to its end has destroyed nothing for certain.
    tokio::task::spawn_blocking(move || spool.destroy_key(call)).await.unwrap_or(Err(SpoolError::Closed))
}
