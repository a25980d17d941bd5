//! The audit log for the HTTP API: [`Audit`] on top of the file.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::audit::AuditLog;
use crate::http::audited::{Audit, AuditEntry, AuditError};
use optag_core::call::number::normalise;
use optag_core::id::CallId;
use optag_core::signing::Signer;

/// The audit log of the API.
pub struct AuditTrail {
    /// Its file.
    pub log: AuditLog,
    /// Its key generates the pseudonyms of numbers and names.
    pub signer: Arc<Signer>,
    /// Country code of numbers written without one.
    pub country_code: String,
}

impl Audit for AuditTrail {
    fn append(&self, entry: AuditEntry) -> BoxFuture<'_, Result<(), AuditError>> {
        let log = self.log.clone();
        async move {
            let appended = tokio::task::spawn_blocking(move || log.append(&entry)).await;
            appended
                .map_err(|error| AuditError(error.to_string()))?
                .map_err(|error| AuditError(error.to_string()))
        }
        .boxed()
    }

    fn about(&self, recording: CallId) -> BoxFuture<'_, Result<Vec<AuditEntry>, AuditError>> {
        let log = self.log.clone();
        async move {
            let found = tokio::task::spawn_blocking(move || log.about(recording)).await;
            found
                .map_err(|error| AuditError(error.to_string()))?
                .map_err(|error| AuditError(error.to_string()))
        }
        .boxed()
    }

    /// Every spelling of a number has the same pseudonym, and so has a name in any case.
    fn pseudonym(&self, text: &str) -> String {
        let one = normalise(text, &self.country_code).unwrap_or_else(|| text.trim().to_lowercase());
        self.signer.pseudonym(&one)
    }
}
