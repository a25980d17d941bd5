//! Every copy of a recording that a store may have: objects, older versions, delete markers, unfinished uploads,
//! files left half-written by a crash. In: a name prefix. Out: the copies, or the proof that there are none.

pub use crate::store::copy::{CopyKind, StoredCopy};

use bytes::Bytes;
use object_store::ObjectStoreExt;
use object_store::path::Path;

use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::remains::Sought;

/// Rounds of deleting and searching after which a store is considered unable to delete.
pub const ROUNDS: usize = 20;

impl Store {
    /// Every copy whose name begins with `stem`.
    ///
    /// Errors: store unavailable; any copy may exist then.
    pub async fn copies(&self, stem: &str) -> Result<Vec<StoredCopy>, StoreError> {
        Ok(self.backend.listed(stem).await?.0)
    }

    /// Deletes every copy of one name, and searches by name and in listings until none is left; returns the deleted
    /// copies, the name itself last.
    ///
    /// Errors: something may be left; retry.
    pub async fn delete_all(&self, key: &str) -> Result<Vec<String>, StoreError> {
        let mut gone = Vec::new();
        let mut sought = Sought::name(key);
        for _ in 0..ROUNDS {
            let mut look = self.look(&sought).await?;
            look.found.retain(|copy| copy.key == key);
            if look.found.is_empty() {
                if let Some(doubt) = look.doubt {
                    return Err(StoreError::Unverified(doubt));
                }
                gone.push(key.to_owned());
                return Ok(gone);
            }
            for copy in &look.found {
                self.delete(copy).await?;
                let name = copy.name();
                if name != key && !gone.contains(&name) {
                    gone.push(name);
                }
            }
            sought.remember(&look.found);
        }
        Err(StoreError::Unverified(format!("{key} still present after deletion")))
    }

    /// Writes an object, overwriting an existing one.
    ///
    /// Errors: the object may or may not exist.
    pub async fn put_over(&self, key: &str, bytes: Bytes) -> Result<(), StoreError> {
        self.objects().put(&Path::from(key), bytes.into()).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::settings::StoreConfig;

    #[tokio::test]
    async fn writing_over_replaces() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&StoreConfig::Local { dir: dir.path().to_owned() }).unwrap();
        for text in ["one", "two"] {
            store.put_over("anchors/a", text.into()).await.unwrap();
        }
        assert_eq!(store.get_small("anchors/a", 10).await.unwrap(), "two");
    }
}
