//! Imports recordings of an earlier system: each is delivered, read back and indexed like an ended call. Recordings
//! already present are left unchanged, so an interrupted run is simply repeated.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest;

use crate::audit::AuditLog;
use crate::erasure::service::EraseService;
use crate::http::audited::{AuditAction, AuditEntry};
use crate::import::decode::Decoder;
use crate::import::encode::{self, Import};
use crate::import::file::AudioFile;
use crate::import::report::{FileOutcome, FileReport};
use crate::import::table::{Line, Row, RowError};
use crate::index::CallRow;
use optag_core::call::{Department, Outcome};
use optag_core::clock::Clock;
use optag_core::error_chain::causes;
use optag_core::id::CallId;
use optag_core::limit;
use optag_core::locked::Secret;
use optag_storage::archive::deliver::{Deliverer, Records, Source};

/// One run over a table.
pub struct Importer {
    /// What may be recorded, and its retention.
    pub departments: Vec<Department>,
    /// Clock.
    pub clock: Arc<dyn Clock>,
    /// Erased recordings are not imported again; its signing key derives the files' secrets.
    pub erasure: Arc<EraseService>,
    /// Audit log.
    pub audit: AuditLog,
    /// Directory of the files; a canonical path.
    pub dir: PathBuf,
    /// Origin of the recordings, and how they are encoded.
    pub import: Import,
    /// Seals and stores recordings.
    pub deliverer: Deliverer,
    /// Checks every file without storing any.
    pub is_trial: bool,
    /// Recordings of this run: whether a line has imported them. The lock is held by the line that imports one.
    pub seen: Mutex<HashMap<CallId, Arc<Mutex<bool>>>>,
}

impl Importer {
    /// Imports one line. Blocking; async work runs on `runtime`.
    pub fn take_in(&self, (file, row): &Line, runtime: &tokio::runtime::Handle) -> FileReport {
        let outcome = match row {
            Err(error @ RowError::NoConsent) => FileOutcome::Refused { why: error.to_string() },
            Err(error) => FileOutcome::Failed { why: error.to_string() },
            Ok(row) => match self.allowed(row) {
                Err(outcome) => outcome,
                Ok(department) => guarded(|| self.store(row, department, runtime)),
            },
        };
        FileReport { file: file.clone(), outcome }
    }

    /// The secret of a recording's files: specific to the installation and equal for every run, so that a repeated
    /// run finds its own files.
    fn secret(&self, id: CallId) -> Secret {
        let signer = &self.erasure.guard.signer;
        let mut context = digest::Context::new(&digest::SHA256);
        for part in 0..4 {
            context.update(signer.pseudonym(&format!("import {id} {part}")).as_bytes());
        }
        let mut secret = Secret::zeroed();
        secret.copy_from_slice(context.finish().as_ref());
        secret
    }

    /// The department, if a recording of it may be kept now.
    fn allowed(&self, row: &Row) -> Result<&Department, FileOutcome> {
        let refused = |why: String| FileOutcome::Refused { why };
        let found = self.departments.iter().find(|one| one.id == row.department);
        let department = found
            .ok_or_else(|| FileOutcome::Failed { why: format!("unknown department `{}`", row.department) })?;
        if !department.record {
            return Err(refused(format!("department `{}` is not recorded", department.id)));
        }
        let days = department.retention_days.min(limit::RETENTION_DAYS);
        let now = self.clock.wall();
        if now >= row.started_at.plus_days(i64::from(days)) {
            return Err(refused(format!("older than the retention of {days} days")));
        }
        if row.started_at > now || row.consent_at > now {
            return Err(refused("start or consent time is in the future".into()));
        }
        Ok(department)
    }

    fn store(
        &self,
        row: &Row,
        department: &Department,
        runtime: &tokio::runtime::Handle,
    ) -> anyhow::Result<FileOutcome> {
        let file = AudioFile::open(&self.dir, &row.file)?;
        // Equal audio at the same time is the same recording, however often it is listed.
        let id = CallId::derived(row.started_at, &file.sha256()?);
        let erasure = &self.erasure;
        if runtime.block_on(erasure.is_ordered(id))? {
            return Ok(FileOutcome::Refused { why: "already erased".into() });
        }
        // Another line with the same audio waits for the result of this one.
        let slot =
            Arc::clone(self.seen.lock().unwrap_or_else(PoisonError::into_inner).entry(id).or_default());
        let mut is_taken = slot.lock().unwrap_or_else(PoisonError::into_inner);
        match runtime.block_on(erasure.stores.index.get(id))? {
            Some(row) if row.erased_at.is_some() => {
                return Ok(FileOutcome::Refused { why: "already erased".into() });
            }
            Some(_) => return Ok(FileOutcome::AlreadyThere { id }),
            None if *is_taken => return Ok(FileOutcome::AlreadyThere { id }),
            None => {}
        }
        let call = encode::call(id, row, department, &self.import, Decoder::open(&file, &row.file)?)?;
        file.unchanged()?;
        let (duration_ms, damaged) = (call.duration_ms, call.damaged);
        if self.is_trial {
            *is_taken = true;
            return Ok(FileOutcome::WouldImport { id, duration_ms, damaged });
        }
        self.audit.append(&AuditEntry {
            at: self.clock.wall(),
            actor: self.import.actor.clone(),
            action: AuditAction::Import,
            purpose: None,
            recording: Some(id),
            detail: Some(format!("from {}", self.import.source).into()),
        })?;
        let bodies = Arc::new(call.bodies);
        let records = move || {
            let (bodies, count) = (Arc::clone(&bodies), bodies.len());
            Ok(Records::new(0, (0..count).map(move |n| Ok(bodies[n].clone()))))
        };
        let source = Source { records: Arc::new(records), secret: self.secret(id) };
        runtime.block_on(async {
            let manifest = self.deliverer.deliver(&source).await?;
            erasure.stores.index.put_delivered(id, &manifest.stored).await?;
            erasure.stores.index.put_recording(&manifest).await?;
            let row = CallRow {
                id,
                department: department.id.clone(),
                ended_at: manifest.ended_at,
                outcome: Outcome::Recorded,
            };
            erasure.stores.index.put_call(&row).await?;
            anyhow::Ok(())
        })?;
        *is_taken = true;
        Ok(FileOutcome::Imported { id, duration_ms, damaged })
    }
}

/// Contains a decoder's fault: only that file fails.
fn guarded(work: impl FnOnce() -> anyhow::Result<FileOutcome>) -> FileOutcome {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(outcome) => outcome.unwrap_or_else(|error| FileOutcome::Failed { why: causes(error.as_ref()) }),
        Err(_) => FileOutcome::Failed { why: "internal fault while reading the file".into() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::file::FileError;

    #[test]
    fn a_fault_of_a_decoder_is_that_files_alone_and_an_error_is_said_once() {
        let FileOutcome::Failed { why } = guarded(|| panic!("index out of bounds")) else { panic!() };
        assert!(why.contains("internal fault"), "{why}");
        let gone = || std::io::Error::from_raw_os_error(libc::ENOENT);
        let FileOutcome::Failed { why } = guarded(|| Err(FileError::from(gone()).into())) else { panic!() };
        assert_eq!(why.matches("No such file").count(), 1, "{why}");
        let id = CallId::from_bytes([1; 16]);
        assert!(matches!(guarded(|| Ok(FileOutcome::AlreadyThere { id })), FileOutcome::AlreadyThere { .. }));
    }
}
