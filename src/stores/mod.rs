//! Where a recording lies on its way: spool, object store, index. A leaf that every stage behind the call may
//! use; when and why something moves or goes is decided elsewhere.

pub mod durable;
pub mod recording_lock;

use crate::index::Index;
use optag_storage::archive::vault::Vault;
use optag_storage::spool::Spool;
use optag_storage::store::Store;

/// The open stores of one installation. Clones share them.
#[derive(Clone)]
pub struct Stores {
    /// The log of records that are not delivered yet, and their keys.
    pub spool: Spool,
    /// The object store, for names, versions and probes; recordings are read through `vault`.
    pub store: Store,
    /// Recordings in the store, sealed and unsealed.
    pub vault: Vault,
    /// The search index.
    pub index: Index,
}
