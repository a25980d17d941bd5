//! The API's interface for those who oversee the recorder: the audit log searched, ages and expiries, health.
//!
//! A trait of the consumer, as [`Library`](crate::http::recordings::library::Library) is.

pub(crate) mod ages;
pub(crate) mod audit_entries;
pub mod audit_search;
pub(crate) mod health;

use futures::future::BoxFuture;

use crate::http::access::Departments;
use crate::http::recordings::library::LibraryError;
use crate::http::server::health::Check;
use ages::AgesFound;
use audit_search::{AuditFound, AuditQuery, Unusual};
use health::{NodeView, OutcomeCount, StoreTest};
use optag_core::clock::WallTime;

/// What those who oversee the recorder ask.
pub trait Oversight: Send + Sync {
    /// Entries of the audit log that are wanted, and the state of its chain.
    fn audit_search(&self, wanted: AuditQuery) -> BoxFuture<'_, Result<AuditFound, LibraryError>>;

    /// Listening to recordings of these departments that is worth asking about, and how many days back was looked.
    fn unusual(
        &self,
        now: WallTime,
        within: Departments,
    ) -> BoxFuture<'_, Result<(i64, Vec<Unusual>), LibraryError>>;

    /// How old the recordings of these departments are, and when the next ones expire.
    fn ages(&self, within: Departments) -> BoxFuture<'_, Result<AgesFound, LibraryError>>;

    /// One check for each part of the recorder.
    fn checks(&self) -> BoxFuture<'_, Vec<Check>>;

    /// Writes an object to the store, reads it and removes it.
    fn try_store(&self) -> BoxFuture<'_, StoreTest>;

    /// The nodes of the index that are not gone; none on SQLite.
    fn nodes(&self) -> BoxFuture<'_, Result<Vec<NodeView>, LibraryError>>;

    /// How the calls that were admitted since a moment ended, by department.
    fn outcomes(&self, since: WallTime) -> BoxFuture<'_, Result<Vec<OutcomeCount>, LibraryError>>;
}
