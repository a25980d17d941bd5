//! Every copy below a prefix in order of names, page by page: memory holds one page. In: a prefix. Out: pages, and
//! what could not be seen.

pub use crate::store::copy::Page;

use futures::stream::BoxStream;

use crate::store::Store;
use crate::store::error::StoreError;

impl Store {
    /// Lists every version and object whose name begins with `prefix`, without unfinished uploads.
    ///
    /// Errors: as an item, which ends the stream.
    pub fn walk(&self, prefix: &str) -> BoxStream<'_, Result<Page, StoreError>> {
        self.backend.walk(prefix)
    }
}
