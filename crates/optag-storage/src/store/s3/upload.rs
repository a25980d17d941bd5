//! Uploads in parts. The store keeps the parts of an unfinished upload: a new attempt after an outage or a crash lists
//! them and sends the rest.

use bytes::Bytes;
use md5::{Digest, Md5};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use tokio::sync::mpsc;

use crate::store::error::StoreError;
use crate::store::s3::Bucket;
use crate::store::s3::admin::StoredPart;
use crate::store::upload::{Begun, Part, Sent, Verified};
use optag_core::hex::hex;

impl Bucket {
    /// Sends the parts that the store does not have, and completes the object.
    pub(super) async fn upload_parts(
        &self,
        name: &str,
        parts: &mut mpsc::Receiver<Part>,
        begun: Begun<'_>,
    ) -> Result<Verified, StoreError> {
        let path = Path::from(name);
        let mut uploads = self.admin.uploads(name).await?;
        let (upload, stored) = match uploads.pop() {
            Some(upload) => {
                let stored = self.admin.parts(name, &upload).await?;
                tracing::info!(parts = stored.len(), "multipart upload resumed");
                (upload, stored)
            }
            None => (self.objects.create_multipart(&path).await?, Default::default()),
        };
        begun(upload.clone()).await;
        for older in uploads {
            self.admin.abort(name, &older).await?;
        }
        let (mut sent, mut ids) = (Sent::default(), Vec::new());
        while let Some(part) = parts.recv().await {
            sent.add(&part.bytes);
            let there = stored.get(&(ids.len() as i32 + 1)).filter(|there| is_same(there, &part.bytes));
            ids.push(match there {
                Some(there) => PartId { content_id: there.etag.clone() },
                None => self.objects.put_part(&path, &upload, ids.len(), part.bytes.clone().into()).await?,
            });
        }
        self.objects.complete_multipart(&path, &upload, ids).await?;
        // An upload whose creation was not answered may be left.
        for left in self.admin.uploads(name).await? {
            self.admin.abort(name, &left).await?;
        }
        Ok(Verified { upload: Some(upload), ..sent.verified() })
    }
}

/// Whether a stored part equals ours, for stores that use the MD5 as ETag, as most do. Otherwise the part is sent
/// again.
fn is_same(there: &StoredPart, ours: &Bytes) -> bool {
    there.bytes == ours.len() as u64
        && there.etag.trim_matches('"').eq_ignore_ascii_case(&hex(&Md5::digest(ours)))
}
