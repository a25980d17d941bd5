//! Audit entries about one recording: who accessed it, when and why.

use serde::de::DeserializeOwned;

use super::{AuditFault, AuditLog};
use optag_core::id::CallId;

impl AuditLog {
    /// The entries about a recording, oldest first. Blocking; reads the whole log.
    ///
    /// Errors: it cannot be read, or was tampered with. Entries of another format are skipped.
    pub fn about<T: DeserializeOwned>(&self, recording: CallId) -> Result<Vec<T>, AuditFault> {
        let name = format!("\"{recording}\"");
        let mut entries = Vec::new();
        for line in self.lines()? {
            let line = line?;
            let text = line.entry.get();
            if text.contains(&name) {
                entries.extend(serde_json::from_str(text).ok());
            }
        }
        Ok(entries)
    }
}
