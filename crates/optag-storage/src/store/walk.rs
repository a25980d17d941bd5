//! Every copy below a prefix in order of names, page by page: memory holds one page. In: a prefix. Out: pages, and
//! what could not be seen.

use futures::stream::BoxStream;

use crate::store::versions::StoredCopy;
use crate::store::{Store, StoreError};

/// A page of copies, in order of names.
#[derive(Debug, Default)]
pub struct Page {
    /// The copies.
    pub copies: Vec<StoredCopy>,
    /// What this page cannot show.
    pub unseen: Option<String>,
}

impl Store {
    /// Lists every version and object whose name begins with `prefix`, without unfinished uploads.
    ///
    /// Errors: as an item, which ends the stream.
    pub fn walk(&self, prefix: &str) -> BoxStream<'_, Result<Page, StoreError>> {
        self.backend.walk(prefix)
    }
}
