//! Whether anything is left of a recording: searched by name, by version and by upload, each with its own request,
//! and in listings. A listing alone proves nothing: it may be incomplete, or of another store.

use futures::FutureExt;
use futures::future::{BoxFuture, try_join_all};
use serde::{Deserialize, Serialize};

use crate::store::Store;
use crate::store::copy::{CopyKind, StoredCopy};
use crate::store::error::StoreError;
use crate::store::names;
use optag_core::id::CallId;

/// Concurrent requests of one search.
const AT_A_TIME: usize = 8;

/// Objects that a delivery stored, as named by the store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// Identifies the store.
    pub place: String,
    /// The objects.
    pub objects: Vec<StoredObject>,
}

/// One object of a delivery.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredObject {
    /// Name.
    pub name: String,
    /// Version, if the store keeps versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Multipart upload that created it, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload: Option<String>,
}

/// What to search for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sought {
    /// Common prefix of the names, for listings.
    pub stem: String,
    /// Names.
    pub names: Vec<String>,
    /// Versions: names and version ids.
    pub versions: Vec<(String, String)>,
    /// Uploads: names and upload ids.
    pub uploads: Vec<(String, String)>,
}

/// Result of a search.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Existing copies.
    pub found: Vec<StoredCopy>,
    /// Existing copies missing from the store's listings.
    pub unlisted: Vec<String>,
    /// Why there may be more copies than could be seen.
    pub doubt: Option<String>,
}

impl Sought {
    /// A recording: every name that an object of it may have, and what its delivery stored.
    pub fn recording(id: CallId, stored: Option<&Stored>) -> Self {
        let objects = stored.map(|stored| stored.objects.as_slice()).unwrap_or_default();
        let mut names = Vec::from(names::names(id, id.admitted_at()));
        for object in objects {
            if !names.contains(&object.name) {
                names.push(object.name.clone());
            }
        }
        let with = |of: fn(&StoredObject) -> &Option<String>| {
            let pairs = objects.iter().filter_map(|one| Some((one.name.clone(), of(one).clone()?)));
            pairs.collect::<Vec<_>>()
        };
        Self {
            stem: names::stem(id),
            names,
            versions: with(|object| &object.version),
            uploads: with(|object| &object.upload),
        }
    }

    /// A single name.
    pub fn name(name: &str) -> Self {
        Self { stem: name.to_owned(), names: vec![name.to_owned()], ..Self::default() }
    }

    /// Adds found copies, so that the next search requests each by its version.
    pub fn remember(&mut self, copies: &[StoredCopy]) {
        for copy in copies {
            let Some(version) = copy.version.clone() else { continue };
            let of = match copy.kind {
                CopyKind::Upload => &mut self.uploads,
                CopyKind::Object => &mut self.versions,
                // A delete marker cannot be read; HEAD and listings show it.
                CopyKind::DeleteMarker | CopyKind::Unfinished => continue,
            };
            let pair = (copy.key.clone(), version);
            if !of.contains(&pair) {
                of.push(pair);
            }
            if !self.names.contains(&copy.key) {
                self.names.push(copy.key.clone());
            }
        }
    }
}

impl Store {
    /// Identifies where objects are stored; changes when they are stored elsewhere.
    pub fn place(&self) -> String {
        self.backend.place()
    }

    /// Searches for copies in every way that the store offers.
    ///
    /// Errors: a request failed; any copy may exist then.
    pub async fn look(&self, sought: &Sought) -> Result<Look, StoreError> {
        let looked = self.look_for(sought).boxed().await;
        self.trouble.note(&looked);
        looked
    }

    async fn look_for(&self, sought: &Sought) -> Result<Look, StoreError> {
        let (listed, lists_versions) = self.backend.listed(&sought.stem).await?;
        let mut asked: Vec<BoxFuture<'_, Result<Vec<StoredCopy>, StoreError>>> = Vec::new();
        for name in &sought.names {
            asked.push(self.backend.by_name(name));
        }
        for (name, version) in sought.versions.iter().filter(|(_, version)| version != "null") {
            asked.push(self.backend.version(name, version));
        }
        let mut there = Vec::new();
        while !asked.is_empty() {
            let some = asked.drain(..asked.len().min(AT_A_TIME)).collect::<Vec<_>>();
            there.extend(try_join_all(some).await?.into_iter().flatten());
        }
        for (name, upload) in &sought.uploads {
            there.extend(self.backend.upload_left(name, upload).await?);
        }
        let knows_versions = there.iter().any(|copy| {
            copy.kind != CopyKind::Upload && copy.version.as_deref().is_some_and(|id| id != "null")
        });
        let mut look = Look::default();
        let is_listed = |copy: &StoredCopy| {
            listed
                .iter()
                .any(|one| one.key == copy.key && (copy.version.is_none() || one.version == copy.version))
        };
        look.unlisted = there.iter().filter(|copy| !is_listed(copy)).map(StoredCopy::name).collect();
        look.found = listed;
        for copy in there {
            if !look.found.iter().any(|one| one.key == copy.key && same_version(one, &copy)) {
                look.found.push(copy);
            }
        }
        if !lists_versions {
            let kept = knows_versions || !sought.versions.is_empty() || self.backend.keeps_versions().await?;
            look.doubt = kept.then(|| "the bucket keeps versions but does not list them".into());
        }
        Ok(look)
    }

    /// Deletes one copy; a missing copy is not an error.
    ///
    /// Errors: the copy may still exist.
    pub async fn delete(&self, copy: &StoredCopy) -> Result<(), StoreError> {
        let deleted = self.backend.delete(copy).await;
        self.trouble.note(&deleted);
        deleted
    }
}

/// A copy of unknown version is the one that its plain name refers to.
fn same_version(one: &StoredCopy, other: &StoredCopy) -> bool {
    one.kind == other.kind && (other.version.is_none() || one.version == other.version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::settings::StoreConfig;
    use optag_core::clock::WallTime;

    #[tokio::test]
    async fn a_recording_is_looked_for_under_every_name_and_by_what_its_delivery_left() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&StoreConfig::Local { dir: dir.path().to_owned() }).unwrap();
        let id = CallId::new_at(WallTime::from_unix_micros(1_700_000_000_000_000));
        let object = |name: &str| StoredObject {
            name: name.into(),
            version: Some("v1".into()),
            upload: Some("u1".into()),
        };
        let stored = Stored { place: store.place(), objects: vec![object("recordings/odd")] };
        let mut sought = Sought::recording(id, Some(&stored));
        assert_eq!(sought.names.len(), 5);
        assert_eq!(sought.versions, [("recordings/odd".to_owned(), "v1".to_owned())]);
        assert_eq!(sought.uploads, [("recordings/odd".to_owned(), "u1".to_owned())]);
        assert_eq!(store.look(&sought).await.unwrap(), Look::default());
        store.put_small("recordings/odd", "x".into()).await.unwrap();
        let look = store.look(&sought).await.unwrap();
        assert_eq!(look.found[0].key, "recordings/odd");
        assert_eq!(look.unlisted, ["recordings/odd"], "the listing of the recording's stem does not show it");
        store.delete(&look.found[0]).await.unwrap();
        assert_eq!(store.look(&sought).await.unwrap().found, []);
        sought.remember(&[StoredCopy { version: Some("v2".into()), ..look.found[0].clone() }]);
        assert_eq!((sought.versions.len(), sought.names.len()), (2, 5));
    }
}
