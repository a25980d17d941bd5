//! Objects of a directory that is looked at before it is used, and again after something was written.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use crate::store::fs::mark::Mark;

/// The directory's objects.
#[derive(Clone, Debug)]
pub(super) struct Guarded {
    pub(super) objects: LocalFileSystem,
    pub(super) mark: Arc<Mark>,
}

impl Guarded {
    /// Errors: the directory is not the store that it was.
    async fn check(&self) -> Result<()> {
        let mark = Arc::clone(&self.mark);
        let wrong = |source| Error::Generic { store: "directory", source };
        match tokio::task::spawn_blocking(move || mark.check()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(wrong(Box::new(error))),
            Err(error) => Err(wrong(Box::new(error))),
        }
    }

    /// What a listing finds, if the directory is the store that it was.
    fn checked<T: Send + 'static>(
        &self,
        then: impl FnOnce(&LocalFileSystem) -> BoxStream<'static, Result<T>> + Send + 'static,
    ) -> BoxStream<'static, Result<T>> {
        let this = self.clone();
        let found = async move { this.check().await.map(|()| then(&this.objects)) };
        stream::once(found).try_flatten().boxed()
    }
}

impl fmt::Display for Guarded {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.objects.fmt(to)
    }
}

#[async_trait]
impl ObjectStore for Guarded {
    async fn put_opts(&self, name: &Path, bytes: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.check().await?;
        let stored = self.objects.put_opts(name, bytes, options).await?;
        self.check().await.map(|()| stored)
    }

    /// The caller checks again once the upload is complete: [`Directory::upload`](super::Directory).
    async fn put_multipart_opts(
        &self,
        name: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.check().await?;
        self.objects.put_multipart_opts(name, options).await
    }

    async fn get_opts(&self, name: &Path, options: GetOptions) -> Result<GetResult> {
        self.check().await?;
        self.objects.get_opts(name, options).await
    }

    fn delete_stream(&self, names: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.checked(|objects| objects.delete_stream(names))
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let prefix = prefix.cloned();
        self.checked(move |objects| objects.list(prefix.as_ref()))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.check().await?;
        self.objects.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.check().await?;
        self.objects.copy_opts(from, to, options).await
    }
}
