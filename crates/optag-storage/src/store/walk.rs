//! Every copy below a prefix in order of names, page by page: memory holds one page. In: a prefix. Out: pages, and
//! what could not be seen.

use std::collections::VecDeque;

use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};

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

/// Position in a bucket's listing.
pub(crate) enum At {
    Versions { key: Option<String>, version: Option<String> },
    Objects { next: Option<String> },
    End,
}

impl Store {
    /// Lists every version and object whose name begins with `prefix`, without unfinished uploads.
    ///
    /// Errors: as an item, which ends the stream.
    pub fn walk(&self, prefix: &str) -> BoxStream<'_, Result<Page, StoreError>> {
        let prefix = prefix.to_owned();
        if let Some(admin) = self.admin() {
            let start = At::Versions { key: None, version: None };
            return stream::try_unfold(start, move |at| {
                let prefix = prefix.clone();
                async move { admin.walk_on(&prefix, at).await }.boxed()
            })
            .boxed();
        }
        let folders = VecDeque::from([prefix.trim_end_matches('/').to_owned()]);
        stream::try_unfold(folders, move |mut folders| {
            async move {
                let Some(folder) = folders.pop_front() else { return Ok(None) };
                let (below, copies) = self.folder(&folder).await?;
                for name in below.into_iter().rev() {
                    folders.push_front(name);
                }
                Ok(Some((Page { copies, unseen: None }, folders)))
            }
            .boxed()
        })
        .boxed()
    }
}
