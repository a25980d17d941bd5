//! The audit trail for the HTTP API: [`Audit`] on top of the file.

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::audit::AuditLog;
use crate::http::audit::{Audit, AuditEntry, AuditError};

/// The trail.
pub struct Trail(pub AuditLog);

impl Audit for Trail {
    fn append(&self, entry: AuditEntry) -> BoxFuture<'_, Result<(), AuditError>> {
        let log = self.0.clone();
        async move {
            let appended = tokio::task::spawn_blocking(move || log.append(&entry)).await;
            appended
                .map_err(|error| AuditError(error.to_string()))?
                .map_err(|error| AuditError(error.to_string()))
        }
        .boxed()
    }
}
