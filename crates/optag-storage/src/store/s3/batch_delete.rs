//! Deletes many copies by one request.

use std::sync::atomic::Ordering;

use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::types::{Delete, ObjectIdentifier};

use crate::store::copy::{CopyKind, StoredCopy};
use crate::store::error::StoreError;
use crate::store::s3::admin::S3Admin;
use crate::store::s3::error::transient;

impl S3Admin {
    /// Deletes up to [`AT_A_TIME`](crate::store::batches::AT_A_TIME) copies; false if the store lacks the request, which is then not repeated.
    pub(crate) async fn delete_some(&self, copies: &[StoredCopy]) -> Result<bool, StoreError> {
        if self.deletes_singly.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let named = copies.iter().filter(|copy| copy.kind != CopyKind::Upload);
        let objects = named.filter_map(|copy| {
            let object = ObjectIdentifier::builder().key(&copy.key).set_version_id(copy.version.clone());
            object.build().ok()
        });
        let Ok(delete) = Delete::builder().set_objects(Some(objects.collect())).quiet(true).build() else {
            return Ok(true);
        };
        let answer = match self.client.delete_objects().bucket(&self.bucket).delete(delete).send().await {
            Ok(answer) => answer,
            Err(error) => {
                let lacks = [
                    "NotImplemented",
                    "MethodNotAllowed",
                    "InvalidRequest",
                    "MissingContentMD5",
                    "MalformedXML",
                ];
                let lacks = error.code().is_some_and(|code| lacks.contains(&code));
                if !lacks {
                    return Err(transient(error));
                }
                self.deletes_singly.store(true, Ordering::Relaxed);
                tracing::info!(
                    "store cannot delete several objects by one request, deleting them one by one"
                );
                return Ok(false);
            }
        };
        match answer.errors.unwrap_or_default().into_iter().find(|one| one.code() != Some("NoSuchKey")) {
            None => Ok(true),
            Some(error) => Err(StoreError::Transient(format!(
                "{}: {}",
                error.code.unwrap_or_default(),
                error.key.unwrap_or_default()
            ))),
        }
    }
}
