//! Changes of access made by the commands, in the audit log of this node before they are made.

use anyhow::Context;

use crate::audit::{self, AuditLog};
use crate::auth::Actor;
use crate::config::Config;
use crate::http::audited::{AuditAction, AuditEntry};
use optag_core::clock::{Clock, OsClock};

/// The audit log of an installation.
pub(super) struct AccessLog(AuditLog);

impl AccessLog {
    /// That of this node.
    pub(super) fn of(config: &Config) -> Self {
        Self(AuditLog::new(audit::path_in(&config.data_dir)))
    }

    /// Writes a change of access to it.
    ///
    /// Errors: it cannot be written; the change must not be made.
    pub(super) fn note(&self, detail: String) -> anyhow::Result<()> {
        let entry = AuditEntry {
            at: OsClock.wall(),
            actor: Actor::local_user().name,
            action: AuditAction::Access,
            purpose: None,
            recording: None,
            detail: Some(detail.into()),
        };
        self.0.append(&entry).map(drop).context("cannot write to the audit log, so nothing is changed")
    }
}
