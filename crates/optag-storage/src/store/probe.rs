//! Tests whether a store works: writes, reads, lists, deletes and searches a small object. The name is always the
//! same, so that a rejected deletion leaves a single object, which the next test removes first.

use bytes::Bytes;

use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::names::PROBE_PREFIX;
use crate::store::remains::Sought;

const ONE: Bytes = Bytes::from_static(b"one");
const TWO: Bytes = Bytes::from_static(b"two");

impl Store {
    /// The same store, tested under the name of this installation.
    pub fn tried_as(mut self, node: &str) -> Self {
        self.probe = format!("{PROBE_PREFIX}{node}").into();
        self
    }

    /// Whether the store refuses to overwrite. Tested once, by creating an object twice.
    ///
    /// Errors: store unavailable.
    pub async fn creates(&self) -> Result<bool, StoreError> {
        let _turn = self.trying.lock().await;
        if let Some(creates) = self.creates.get() {
            return Ok(*creates);
        }
        self.delete_all(&self.probe).await?;
        let created = self.create_twice().await;
        // A store that accepts objects and deletes none still gets recordings; the health check reports the failed
        // deletion.
        if let Err(error) = self.delete_all(&self.probe).await {
            self.trouble.note::<()>(&Err(error));
        }
        created
    }

    /// Writes, reads, lists, deletes and searches an object.
    ///
    /// Errors: the step that failed, and the store's reason.
    pub async fn try_out(&self) -> Result<(), StoreError> {
        let _turn = self.trying.lock().await;
        self.delete_all(&self.probe).await.map_err(|error| step("deleting", error))?;
        let tried = self.try_all().await;
        let deleted = self.delete_all(&self.probe).await;
        tried?;
        deleted.map(drop).map_err(|error| step("deleting", error))
    }

    async fn try_all(&self) -> Result<(), StoreError> {
        self.create_twice().await.map_err(|error| step("writing", error))?;
        let read = self.get_small(&self.probe, 3).await.map_err(|error| step("reading", error))?;
        if read != ONE && read != TWO {
            return Err(step("reading", StoreError::Mismatch));
        }
        // Each client sees the other's object, and listings show it.
        let sought = Sought::name(&self.probe);
        let look = self.look(&sought).await.map_err(|error| step("listing", error))?;
        match (look.found.is_empty(), look.unlisted.is_empty()) {
            (false, true) => Ok(()),
            _ => Err(StoreError::Unverified("listing omits an existing object".into())),
        }
    }

    async fn create_twice(&self) -> Result<bool, StoreError> {
        let creates = match self.create(&self.probe, ONE).await {
            Ok(true) => !self.create(&self.probe, TWO).await?,
            Ok(false) => return Err(StoreError::Transient("name of the new probe object is taken".into())),
            Err(StoreError::Config(_)) => {
                self.put_over(&self.probe, ONE).await?;
                false
            }
            Err(error) => return Err(error),
        };
        if !self.creates.initialized() && self.creates.set(creates).is_ok() && !creates {
            tracing::warn!("store ignores If-None-Match; each name is checked before it is written");
        }
        Ok(creates)
    }
}

/// Prepends the failed step.
fn step(what: &str, error: StoreError) -> StoreError {
    match error {
        StoreError::Transient(why) => StoreError::Transient(format!("{what}: {why}")),
        StoreError::Unverified(why) => StoreError::Unverified(format!("{what}: {why}")),
        other => StoreError::Transient(format!("{what}: {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::settings::StoreConfig;

    #[tokio::test]
    async fn a_store_is_tried_out_under_one_name_and_nothing_stays() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Store::open(&StoreConfig::Local { dir: dir.path().to_owned() }).unwrap();
        let store = open().tried_as("node");
        // An object left by an earlier test is removed.
        store.put_over("recordings/probe/node", "left".into()).await.unwrap();
        for _ in 0..2 {
            store.try_out().await.unwrap();
            assert_eq!(store.copies("recordings/").await.unwrap(), []);
        }
        std::fs::remove_dir_all(dir.path()).unwrap();
        std::fs::write(dir.path(), "a file in its place").unwrap();
        assert!(store.try_out().await.is_err());
        std::fs::remove_file(dir.path()).unwrap();
        std::fs::create_dir(dir.path()).unwrap();
        store.try_out().await.unwrap();
    }
}
