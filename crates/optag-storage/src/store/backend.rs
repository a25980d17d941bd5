//! What a kind of store has to offer. In: names, parts, copies. Out: objects, and every copy that exists.
//!
//! A kind is a folder beside this file that implements [`Backend`], and a line in [`StoreConfig::open`]. What all kinds
//! have in common (comparing, reading back, searching until nothing is left) is in [`Store`] and works through this trait.
//! An operation on whose answer an erasure relies has no default.
//!
//! [`StoreConfig::open`]: crate::store::settings::StoreConfig::open
//! [`Store`]: crate::store::Store

use futures::future::{BoxFuture, FutureExt, ready};
use futures::stream::BoxStream;
use object_store::ObjectStore;
use object_store::path::Path;
use tokio::sync::mpsc;

use crate::store::copy::Page;
use crate::store::copy::StoredCopy;
use crate::store::error::StoreError;
use crate::store::s3::admin::S3Admin;
use crate::store::s3::credentials::Stamp;
use crate::store::upload::{Begun, Part, Sent, Verified};

/// Result of a request to a store.
pub(crate) type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// Copies in a listing, and whether it shows versions (true also if the store keeps none).
pub(crate) type Listing = (Vec<StoredCopy>, bool);

/// A kind of store.
pub(crate) trait Backend: Send + Sync {
    /// Reads, writes and lists objects.
    fn objects(&self) -> &dyn ObjectStore;

    /// Identifies where objects are stored; changes when they are stored elsewhere.
    fn place(&self) -> String;

    /// Expects from now on the place whose id the file `kept` has, which the first call writes; only for stores that an
    /// empty place can be taken for.
    ///
    /// Errors: the id cannot be read or written.
    fn bind(&self, _kept: &std::path::Path) -> Result<(), StoreError> {
        Ok(())
    }

    /// Every copy whose name begins with `stem`: objects, versions, delete markers, unfinished uploads and files.
    ///
    /// Errors: store unavailable; any copy may exist then.
    fn listed<'a>(&'a self, stem: &'a str) -> Answer<'a, Listing>;

    /// Copies under a name, requested by that name and not taken from a listing.
    ///
    /// Errors: store unavailable; a copy may exist then.
    fn by_name<'a>(&'a self, name: &'a str) -> Answer<'a, Vec<StoredCopy>>;

    /// Every version and object whose name begins with `prefix`, page by page in order of names, without unfinished
    /// uploads.
    ///
    /// Errors: as an item, which ends the stream.
    fn walk(&self, prefix: &str) -> BoxStream<'_, Result<Page, StoreError>>;

    /// Deletes one copy; a missing copy is not an error.
    ///
    /// Errors: the copy may still exist.
    fn delete<'a>(&'a self, copy: &'a StoredCopy) -> Answer<'a, ()>;

    /// Whether the store refuses to overwrite; `None`: to be tested ([`Store::creates`](crate::store::Store::creates)).
    fn refuses_to_overwrite(&self) -> Option<bool> {
        None
    }

    /// Changes when the store's credentials do.
    fn credentials_stamp(&self) -> Option<Stamp> {
        None
    }

    /// A version of an object, requested by its id; only for stores that keep versions.
    ///
    /// Errors: store unavailable; the version may exist then.
    fn version<'a>(&'a self, _name: &'a str, _version: &'a str) -> Answer<'a, Vec<StoredCopy>> {
        ready(Ok(Vec::new())).boxed()
    }

    /// An upload that should have ended, if it still exists; only for stores that keep unfinished uploads.
    ///
    /// Errors: store unavailable; the upload may exist then.
    fn upload_left<'a>(&'a self, _name: &'a str, _upload: &'a str) -> Answer<'a, Option<StoredCopy>> {
        ready(Ok(None)).boxed()
    }

    /// Whether the store keeps versions, or once did.
    ///
    /// Errors: store unavailable.
    fn keeps_versions(&self) -> Answer<'_, bool> {
        ready(Ok(false)).boxed()
    }

    /// Stores parts as one object that appears when it is complete. `begun` is called, and awaited, before any part of
    /// an upload is sent that the store keeps until it is completed or aborted.
    ///
    /// Errors: the object may or may not exist.
    fn upload<'a, 'b: 'a>(
        &'a self,
        name: &'a str,
        parts: &'a mut mpsc::Receiver<Part>,
        _begun: Begun<'b>,
    ) -> Answer<'a, Verified> {
        upload_at_once(self.objects(), name, parts).boxed()
    }

    /// Whether several copies can be deleted by one request, as far as is known.
    fn deletes_together(&self) -> bool {
        false
    }

    /// Deletes copies, at most [`AT_A_TIME`](crate::store::batches::AT_A_TIME), by one request; false if the store lacks
    /// such a request.
    ///
    /// Errors: any of the copies may still exist.
    fn delete_some<'a>(&'a self, _copies: &'a [StoredCopy]) -> Answer<'a, bool> {
        ready(Ok(false)).boxed()
    }

    /// Administration of a bucket: lifecycle rules, object lock, clock; none for other kinds.
    fn admin(&self) -> Option<&S3Admin> {
        None
    }
}

/// Sends all parts in one attempt; an attempt that fails leaves nothing.
pub(crate) async fn upload_at_once(
    objects: &dyn ObjectStore,
    name: &str,
    parts: &mut mpsc::Receiver<Part>,
) -> Result<Verified, StoreError> {
    let mut upload = objects.put_multipart_opts(&Path::from(name), Default::default()).await?;
    let mut sent = Sent::default();
    let stored = async {
        while let Some(part) = parts.recv().await {
            sent.add(&part.bytes);
            upload.put_part(part.bytes.into()).await?;
        }
        upload.complete().await
    };
    if let Err(error) = stored.await {
        let _ = upload.abort().await;
        return Err(error.into());
    }
    Ok(sent.verified())
}
