//! Lists a bucket, one page per request.

use aws_sdk_s3::error::ProvideErrorMetadata;

use crate::store::copy::Page;
use crate::store::copy::{CopyKind, StoredCopy};
use crate::store::error::StoreError;
use crate::store::s3::admin::S3Admin;
use crate::store::s3::error::transient;
use crate::store::s3::versions::{breaks_off, time};

/// Position in a bucket's listing.
pub(crate) enum At {
    Versions { key: Option<String>, version: Option<String> },
    Objects { next: Option<String> },
    End,
}

impl S3Admin {
    /// The next page, and the position after it.
    ///
    /// Errors: store unavailable, or the listing cannot be continued.
    pub(crate) async fn walk_on(&self, prefix: &str, at: At) -> Result<Option<(Page, At)>, StoreError> {
        match at {
            At::End => Ok(None),
            At::Versions { key, version } => self.versions_page(prefix, key, version).await.map(Some),
            At::Objects { next } => self.objects_page(prefix, next).await.map(Some),
        }
    }

    async fn versions_page(
        &self,
        prefix: &str,
        key: Option<String>,
        version: Option<String>,
    ) -> Result<(Page, At), StoreError> {
        let is_first = key.is_none();
        let list = self.client.list_object_versions().bucket(&self.bucket).prefix(prefix);
        let page = match list.set_key_marker(key).set_version_id_marker(version).send().await {
            Ok(page) => page,
            Err(error) if is_first => {
                let unseen = match error.code() {
                    Some("NotImplemented" | "MethodNotAllowed") if !self.keeps_versions().await? => None,
                    Some("NotImplemented" | "MethodNotAllowed" | "AccessDenied") => Some(transient(error)),
                    _ => return Err(transient(error)),
                };
                let unseen =
                    unseen.map(|why| format!("older versions and delete markers cannot be listed: {why}"));
                return Ok((Page { copies: Vec::new(), unseen }, At::Objects { next: None }));
            }
            Err(error) => return Err(transient(error)),
        };
        let copy = |key, version: Option<String>, kind, bytes: Option<i64>, at| StoredCopy {
            key,
            version: version.or_else(|| Some("null".into())),
            kind,
            bytes: bytes.unwrap_or_default().max(0) as u64,
            stored_at: time(at),
        };
        let objects = page.versions.unwrap_or_default().into_iter().filter_map(|one| {
            Some(copy(one.key?, one.version_id, CopyKind::Object, one.size, one.last_modified))
        });
        let markers = page.delete_markers.unwrap_or_default().into_iter().filter_map(|one| {
            Some(copy(one.key?, one.version_id, CopyKind::DeleteMarker, None, one.last_modified))
        });
        let mut copies: Vec<StoredCopy> = objects.chain(markers).collect();
        copies.sort_by(|one, other| one.key.cmp(&other.key));
        let next = match (page.is_truncated.unwrap_or_default(), page.next_key_marker) {
            (false, _) => At::End,
            (true, Some(key)) => At::Versions { key: Some(key), version: page.next_version_id_marker },
            (true, None) => return Err(breaks_off("versions")),
        };
        Ok((Page { copies, unseen: None }, next))
    }

    async fn objects_page(&self, prefix: &str, next: Option<String>) -> Result<(Page, At), StoreError> {
        let list = self.client.list_objects_v2().bucket(&self.bucket).prefix(prefix);
        let page = list.set_continuation_token(next).send().await.map_err(transient)?;
        let copies = page.contents.unwrap_or_default().into_iter().filter_map(|one| {
            Some(StoredCopy {
                key: one.key?,
                version: None,
                kind: CopyKind::Object,
                bytes: one.size.unwrap_or_default().max(0) as u64,
                stored_at: time(one.last_modified),
            })
        });
        let copies = copies.collect();
        let next = match (page.is_truncated.unwrap_or_default(), page.next_continuation_token) {
            (_, Some(next)) => At::Objects { next: Some(next) },
            (true, None) => return Err(breaks_off("objects")),
            (false, None) => At::End,
        };
        Ok((Page { copies, unseen: None }, next))
    }
}
