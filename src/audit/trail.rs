//! The audit log for the HTTP API: [`Audit`] on top of the file and of what all nodes share of their files.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::audit::Line;
use crate::audit::accesses::{Accesses, AccessesError};
use crate::http::audited::{Audit, AuditAction, AuditEntry, AuditError};
use optag_core::call::number::normalise;
use optag_core::id::CallId;
use optag_core::signing::Signer;

/// The audit log of the API.
pub struct AuditTrail {
    /// Its file, and the accesses of all nodes.
    pub accesses: Accesses,
    /// Its key generates the pseudonyms of numbers and names.
    pub signer: Arc<Signer>,
    /// Country code of numbers written without one.
    pub country_code: String,
}

impl AuditTrail {
    async fn append_here(&self, entry: AuditEntry) -> Result<Line, AccessesError> {
        let log = self.accesses.log.clone();
        Ok(tokio::task::spawn_blocking(move || log.append(&entry)).await??)
    }
}

impl Audit for AuditTrail {
    fn append(&self, entry: AuditEntry) -> BoxFuture<'_, Result<(), AuditError>> {
        async move {
            let failed = |error: AccessesError| AuditError(error.to_string());
            let line = self.append_here(entry.clone()).await.map_err(failed)?;
            let shared = self.accesses.share(&line).await;
            if shared.is_err() && !matches!(entry.action, AuditAction::NotServed | AuditAction::BrokenOff) {
                // The entry stands in the log, and nothing is served for it.
                let _ = self.append_here(AuditEntry { action: AuditAction::NotServed, ..entry }).await;
            }
            shared.map_err(failed)
        }
        .boxed()
    }

    fn about(&self, recording: CallId) -> BoxFuture<'_, Result<Vec<AuditEntry>, AuditError>> {
        async move { self.accesses.about(recording).await.map_err(|error| AuditError(error.to_string())) }
            .boxed()
    }

    /// Every spelling of a number has the same pseudonym, and so has a name in any case.
    fn pseudonym(&self, text: &str) -> String {
        let one = normalise(text, &self.country_code).unwrap_or_else(|| text.trim().to_lowercase());
        self.signer.pseudonym(&one)
    }
}
